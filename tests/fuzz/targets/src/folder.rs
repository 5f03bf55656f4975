//! Files for the decoders that open them by path.

use std::{fs, io, path::Path};

use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().unwrap();
}

/// Runs with a folder of this thread, which stays as it was left; `prepare` fills it
/// the first time.
pub(crate) fn with_folder<T>(
    name: &str,
    prepare: impl FnOnce(&Path),
    run: impl FnOnce(&Path) -> T,
) -> T {
    FOLDER.with(|folder| {
        let path = folder.path().join(name);
        if !path.is_dir() {
            fs::create_dir(&path).unwrap();
            prepare(&path);
        }
        run(&path)
    })
}

/// Writes the file, or removes it where there are no bytes.
pub(crate) fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    if !bytes.is_empty() {
        fs::write(path, bytes).unwrap();
    } else if let Err(error) = fs::remove_file(path) {
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
