use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

/// A file mapped into memory for reading. Clones share the mapping.
#[derive(Clone, Debug)]
pub(crate) struct MappedFile(Arc<Mmap>);

impl MappedFile {
    pub(crate) fn open(path: &Path) -> std::io::Result<MappedFile> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        // SAFETY: the map is read-only and is only ever seen as bytes, every value of which is
        // valid. Whoever changes or shortens the file under us breaks this; weft's own store
        // never changes a file behind its final name, it replaces it.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }?;
        Ok(MappedFile(Arc::new(map)))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
