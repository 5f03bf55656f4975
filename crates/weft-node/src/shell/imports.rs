//! Bundles that are being taken in.

use weft_core::{Input, Peer};

use super::Shell;
use crate::{
    bundle::{self, Import, ImportError, Source},
    report::ImportReport,
};

/// Bundles read at once; each has a thread and an open file.
const IMPORTS: usize = 4;

impl Shell {
    /// Begins to take a bundle in.
    pub(crate) fn import(&mut self, bundle: Source, reply: bundle::Reply) {
        if self.imports.len() >= IMPORTS {
            let _ = reply.send(Err(ImportError::TooMany(IMPORTS)));
            return;
        }
        let (found, expected) = (bundle.mesh_id(), self.node.trust().mesh_id());
        if found != expected {
            let _ = reply.send(Err(ImportError::OtherMesh { found, expected }));
            return;
        }
        let active = self.node.status().channels;
        match Import::attach(bundle, &active, self.bundle_sender.clone(), reply) {
            Ok((peer, import)) => {
                self.imports.insert(peer, import);
                self.handle(Input::BundleUp(peer));
            }
            Err((error, reply)) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    /// Ends each import that has come to something.
    pub(super) fn settle_imports(&mut self) {
        if self.imports.is_empty() {
            return;
        }
        let status = self.node.status();
        let now_us = self.clock.now_us();
        let alone = self.network.is_none();
        let idle = self.operations == 0;
        let settled: Vec<(Peer, ImportReport)> = self
            .imports
            .iter_mut()
            .filter_map(|(peer, import)| {
                let report = import.settle(
                    &status,
                    self.node.trust(),
                    bundle::Surroundings {
                        now_us,
                        alone,
                        idle,
                    },
                )?;
                Some((*peer, report))
            })
            .collect();
        for (peer, report) in settled {
            self.end_import(peer, Ok(report));
        }
    }

    pub(super) fn end_import(&mut self, peer: Peer, result: Result<ImportReport, ImportError>) {
        if let Some(import) = self.imports.remove(&peer) {
            self.handle(Input::PeerDown(peer));
            import.end(result);
        }
    }
}
