//! Bundles that are whole, and bundles that are not.

use std::fs;

use weft_node::{
    ExportError, Home, ImportError, export_offline, import_offline, report::ImportOutcome,
};

use crate::mesh::{Admin, Packed, channel, pack, probe};

struct Site {
    folder: tempfile::TempDir,
    admin: Admin,
    model: Packed,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = pack(folder.path(), "llama-tied");
        Self {
            admin: Admin::new(),
            model,
            folder,
        }
    }

    fn home(&self, name: &str) -> Home {
        self.admin.home(&self.folder.path().join(name), &[])
    }

    fn bundle(&self, name: &str, keep: impl Fn(usize) -> bool) -> std::path::PathBuf {
        self.admin
            .bundle(&self.folder.path().join(name), &[&self.model], keep)
    }
}

#[test]
fn a_bundle_of_roots_alone_is_taken_in() {
    let site = Site::new();
    let bundle = site
        .admin
        .bundle(&site.folder.path().join("roots"), &[], |_| true);
    let report = import_offline(&site.home("node"), &bundle).unwrap();
    assert!(report.succeeded());
    assert_eq!((report.records, report.channels.len()), (1, 0));
    let home = Home::open(&site.folder.path().join("node")).unwrap();
    let error = export_offline(&home, &channel(), &mut Vec::new()).unwrap_err();
    assert!(
        matches!(error, ExportError::NothingToExport { .. }),
        "{error}"
    );
}

#[test]
fn what_is_exported_offline_is_the_same_release() {
    let mut site = Site::new();
    site.admin
        .release(&site.model, "1.0.0", vec![probe(&site.model, "valve 7")]);
    let home = site.home("node");
    let report = import_offline(&home, &site.bundle("b", |_| true)).unwrap();
    assert_eq!(
        report.channels[0].outcome,
        ImportOutcome::Activated,
        "{report:?}"
    );
    let mut bytes = Vec::new();
    let length = export_offline(&home, &channel(), &mut bytes).unwrap();
    assert_eq!(length, bytes.len() as u64);
    let path = site.folder.path().join("again");
    fs::write(&path, bytes).unwrap();
    let report = import_offline(&site.home("other"), &path).unwrap();
    assert_eq!(
        report.channels[0].outcome,
        ImportOutcome::Activated,
        "{report:?}"
    );
    assert_eq!(report.bytes_taken, site.model.entry.length);
}

#[test]
fn a_model_that_misses_its_golden_answers_is_not_activated() {
    let mut site = Site::new();
    let mut golden = probe(&site.model, "valve 7");
    golden.expected[0][0] ^= 1;
    site.admin.release(&site.model, "1.0.0", vec![golden]);
    let report = import_offline(&site.home("node"), &site.bundle("b", |_| true)).unwrap();
    assert_eq!(
        report.channels[0].outcome,
        ImportOutcome::ReleaseRefused,
        "{report:?}"
    );
    assert!(!report.channels[0].reason.is_empty());
    assert!(!report.succeeded());
}

#[test]
fn a_bundle_that_lacks_a_chunk_says_so_and_a_later_one_goes_on_from_there() {
    let mut site = Site::new();
    site.admin.release(&site.model, "1.0.0", Vec::new());
    let home = site.home("node");
    let report = import_offline(&home, &site.bundle("part", |index| index != 0)).unwrap();
    assert_eq!(
        report.channels[0].outcome,
        ImportOutcome::Incomplete,
        "{report:?}"
    );
    assert!(report.bytes_taken > 0);
    let rest = import_offline(&home, &site.bundle("rest", |_| true)).unwrap();
    assert_eq!(
        rest.channels[0].outcome,
        ImportOutcome::Activated,
        "{rest:?}"
    );
    assert_eq!(rest.chunks_taken, 1);
}

#[test]
fn a_channel_that_is_not_followed_is_left_alone() {
    let mut site = Site::new();
    site.admin.release(&site.model, "1.0.0", Vec::new());
    let mut home = site.home("node");
    home.settings_mut().channels = vec!["other".parse().unwrap()];
    let report = import_offline(&home, &site.bundle("b", |_| true)).unwrap();
    assert_eq!(report.channels[0].outcome, ImportOutcome::NotFollowed);
    assert_eq!(report.bytes_taken, 0);
    assert!(report.succeeded());
}

#[test]
fn a_bundle_of_another_mesh_is_refused() {
    let (site, other) = (Site::new(), Site::new());
    let error = import_offline(&site.home("node"), &other.bundle("b", |_| true)).unwrap_err();
    assert!(matches!(error, ImportError::OtherMesh { .. }), "{error}");
}

#[test]
fn a_broken_file_is_named() {
    let mut site = Site::new();
    site.admin.release(&site.model, "1.0.0", Vec::new());
    let bundle = site.bundle("b", |_| true);
    let home = site.home("node");
    let whole = fs::read(&bundle).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&bundle, bytes).unwrap();
        let error = import_offline(&home, &bundle).unwrap_err();
        assert!(matches!(error, ImportError::Bundle { .. }), "{error}");
        error.to_string()
    };
    assert!(refused(&whole[..whole.len() / 2]).contains("breaks off"));
    assert!(refused(b"something else entirely").contains("not a bundle"));
    let mut flipped = whole.clone();
    let last = flipped.len() - 1_000;
    flipped[last] ^= 1;
    assert!(refused(&flipped).contains("not the one that its hash names"));
    fs::remove_file(&bundle).unwrap();
    let error = import_offline(&home, &bundle).unwrap_err();
    assert!(matches!(error, ImportError::Open { .. }), "{error}");
    let error = import_offline(&home, site.folder.path()).unwrap_err();
    assert!(matches!(error, ImportError::Open { .. }), "{error}");
}
