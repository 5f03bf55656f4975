use std::{ops::Deref, sync::Arc};

use crate::{Envelope, RecordId};

/// A record that the verifier accepted. Only it can make one; a copy is cheap.
#[derive(Debug)]
pub struct Verified<T> {
    inner: Arc<Inner<T>>,
    admitted_at_s: u64,
}

#[derive(Debug)]
struct Inner<T> {
    record: T,
    id: RecordId,
    envelope: Envelope,
}

impl<T> Verified<T> {
    /// The record's name.
    pub fn id(&self) -> RecordId {
        self.inner.id
    }

    /// As it travels, with the signatures that count.
    pub fn envelope(&self) -> &Envelope {
        &self.inner.envelope
    }

    /// When this verifier accepted it, on the clock of whoever called.
    pub fn admitted_at_s(&self) -> u64 {
        self.admitted_at_s
    }

    pub(crate) fn new(record: T, id: RecordId, envelope: Envelope, admitted_at_s: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                record,
                id,
                envelope,
            }),
            admitted_at_s,
        }
    }

    /// The same record as another verifier accepted it.
    pub(crate) fn admitted_at(&self, admitted_at_s: u64) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            admitted_at_s,
        }
    }
}

impl<T: Clone> Verified<T> {
    /// The same record with more signatures.
    pub(crate) fn with_envelope(&self, envelope: Envelope) -> Self {
        Self::new(
            self.inner.record.clone(),
            self.inner.id,
            envelope,
            self.admitted_at_s,
        )
    }
}

impl<T> Clone for Verified<T> {
    fn clone(&self) -> Self {
        self.admitted_at(self.admitted_at_s)
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner.record
    }
}
