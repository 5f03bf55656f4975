//! What a driver was asked to do and has not answered.

use crate::io::OpId;

/// Operations under way; a number is that of a place and of how many were begun before, so
/// that a second answer to one operation is none to the next.
#[derive(Debug)]
pub(crate) struct Operations<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    begun: u32,
}

/// Places that are kept although nothing is under way.
const PLACES_KEPT: usize = 2;

#[derive(Debug)]
struct Place<T> {
    begun: u32,
    pending: Option<T>,
}

impl<T> Default for Operations<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            begun: 0,
        }
    }
}

impl<T> Operations<T> {
    pub(crate) fn begin(&mut self, pending: T) -> OpId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.reserve_exact(1);
            self.places.push(Place {
                begun: 0,
                pending: None,
            });
            self.places.len() as u32 - 1
        });
        let held = &mut self.places[place as usize];
        self.begun = self.begun.wrapping_add(1);
        held.begun = self.begun;
        held.pending = Some(pending);
        OpId(u64::from(self.begun) << 32 | u64::from(place))
    }

    pub(crate) fn warm(&self) -> u64 {
        let place = self.places.first().map_or(0, |place| place.begun);
        let free = self.free.first().copied().unwrap_or_default();
        u64::from(place ^ free)
    }

    /// What is under way.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.places
            .iter()
            .filter_map(|place| place.pending.as_ref())
    }

    /// What the operation was for, the first time that it is answered.
    pub(crate) fn end(&mut self, operation: OpId) -> Option<T> {
        let place = operation.0 as u32;
        let held = self.places.get_mut(place as usize)?;
        if u64::from(held.begun) != operation.0 >> 32 {
            return None;
        }
        let pending = held.pending.take()?;
        self.free.push(place);
        if self.free.len() == self.places.len() && self.places.len() > PLACES_KEPT {
            (self.places, self.free) = (Vec::new(), Vec::new());
        }
        Some(pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_ends_once() {
        let mut operations = Operations::default();
        let (first, second) = (operations.begin('a'), operations.begin('b'));
        assert_eq!(operations.end(first), Some('a'));
        let third = operations.begin('c');
        assert_eq!(operations.end(first), None, "its place was taken");
        assert_eq!(operations.end(third), Some('c'));
        assert_eq!(operations.end(second), Some('b'));
        assert_eq!(operations.end(second), None);
        assert_eq!(operations.end(OpId(77)), None);
    }
}
