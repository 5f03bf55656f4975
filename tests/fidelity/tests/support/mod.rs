//! What the tests of this laboratory share.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use weft_fidelity::{PackedRelease, obstacle};

/// The binary and a folder; nothing where no lab can be made, which is said by name.
pub(crate) fn lab(test: &str) -> Option<(PathBuf, tempfile::TempDir)> {
    let weft = weft();
    let reason = if weft.is_file() {
        obstacle()
    } else {
        Some(format!("{} was not built", weft.display()))
    };
    if let Some(reason) = reason {
        println!("SKIPPED fidelity::{test}: {reason}");
        return None;
    }
    Some((weft, tempfile::tempdir().unwrap()))
}

/// The binary that was built beside the tests.
fn weft() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("weft")
}

/// The demo's model as a release.
pub(crate) fn pack(weft: &Path, folder: &Path) -> PackedRelease {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/weft/assets");
    let out = folder.join("release.weft");
    let packed = Command::new(weft)
        .args(["--json", "release", "pack"])
        .arg(model.join("incident-1.0.0"))
        .args(["--name", "incident", "--version", "1.0.0"])
        .args(["--quantization", "f16", "--no-probe", "--out"])
        .arg(&out)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&packed.stdout);
    assert!(packed.status.success(), "{said}");
    PackedRelease::read(&out).unwrap()
}
