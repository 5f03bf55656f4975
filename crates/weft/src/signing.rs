//! What admins sign: roots, releases, and the heads that name them; alone, or several
//! after each other by a file that goes from hand to hand.

mod deliver;
mod file;
mod genesis;
mod ground;
mod judge;
mod publish;
mod root_words;
pub(crate) mod shelf;
mod signer;
pub(crate) mod words;

pub(crate) use deliver::{Delivered, Draft, deliver, may_not_sign, refuse_existing};
pub(crate) use file::{SignedFile, admit_all};
pub(crate) use genesis::{Genesis, Plan, ROLES, ROOT_VALIDITY_S, new_role};
pub(crate) use ground::{From, Ground, without_models};
pub(crate) use judge::{Judged, State, lines};
pub(crate) use publish::{HeadOrder, draft_head, draft_release};
pub(crate) use root_words::root_words;
pub(crate) use signer::{Signer, look, sign_with};

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use weft_keys::SecretKey;
use weft_node::Home;
use weft_record::{Envelope, Memo, Trust};

use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    keys, refusals,
    verbs::key::new_key,
};

/// Everything that this node accepted: from the running node, else from its store.
pub(crate) fn trust(context: &Context, home: &Home) -> Result<Trust, Failure> {
    let encoded: Vec<Vec<u8>> = if home.running().is_some() {
        let report = context
            .client()?
            .records()
            .map_err(|error| context.client_refused(&error))?;
        report.decoded().ok_or_else(|| {
            let what = "the node's records cannot be read";
            Failure::new(
                Exit::Failed,
                what,
                "they are not hexadecimal",
                "weft version",
            )
        })?
    } else {
        let path = home.store_directory();
        let restored = weft_store::Store::open(&path).and_then(|store| store.restore());
        let what = "the node's records cannot be read";
        restored
            .map_err(|error| refusals::store(context, what, &error))?
            .records
    };
    let (mut trust, mut memo) = (Trust::new(home.settings().mesh_id), Memo::default());
    for bytes in &encoded {
        // what the node accepted is checked again; what does not pass counts for nothing
        if let Ok(envelope) = Envelope::decode(bytes) {
            let _ = trust.admit(envelope, now_s(), &mut memo);
        }
    }
    Ok(trust)
}

/// Reads a key file, or makes one where there is none.
pub(crate) fn load_or_make_key(path: &Path) -> Result<SecretKey, Failure> {
    if path.exists() {
        return keys::load_key(path);
    }
    if let Some(parent) = path.parent() {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|error| Failure::file(quoted(parent), &error))?;
    }
    new_key(path)
}

/// A folder for files that are gone when it is dropped, on the same disk as `beside`.
pub(crate) fn scratch(beside: &Path) -> Result<tempfile::TempDir, Failure> {
    tempfile::Builder::new()
        .prefix(".weft-")
        .tempdir_in(beside)
        .map_err(|error| Failure::file(format!("no room in {}", beside.display()), &error))
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
