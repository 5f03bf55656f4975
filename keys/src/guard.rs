//! What a key has signed where only one record may stand, kept through restarts.
//!
//! Two records at one place of an order, signed by one key, are proof that the key is in
//! two hands or in confused ones. A [`Guard`] is asked before each such signature and
//! remembers the answer on the disk.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{
    LedgerError, hex,
    ledger::{self, Ledger},
};

/// The first line of the file.
const KIND: &str = "weft-guard-1";
/// Longest scope: a channel, a site or a key in hexadecimal.
const MAX_SCOPE_BYTES: usize = 128;
/// Most places that one file remembers, about 16 MiB; [`Guard::forget_below`] makes room.
pub const MAX_PROMISES: usize = 65_536;

/// An order of records of which each place has one: a kind of record, of one mesh, for
/// one channel or whatever else divides that kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// The mesh.
    pub mesh_id: [u8; 32],
    /// The number of the kind of record.
    pub kind: u8,
    /// Channel, site or the like; empty where a mesh has one series of the kind.
    pub scope: String,
}

/// One place of a series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The series.
    pub series: Series,
    /// The epoch, which begins anew when the order is reset.
    pub epoch: u64,
    /// The place in the epoch.
    pub seq: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Series { kind, scope, .. } = &self.series;
        write!(formatter, "kind {kind}")?;
        if !scope.is_empty() {
            write!(formatter, " of {scope}")?;
        }
        write!(formatter, ", epoch {}, place {}", self.epoch, self.seq)
    }
}

/// Why a signature must not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// Another record was signed at this place.
    #[error("this key has signed another record at {place}: {}", hex::text(id))]
    AlreadySigned {
        /// The place.
        place: Place,
        /// What was signed there.
        id: [u8; 32],
    },
    /// What was signed at this place is forgotten, so that it might be another record.
    #[error(
        "what this key signed at {place} is forgotten: nothing below epoch {epoch}, place {seq} is signed"
    )]
    Forgotten {
        /// The place.
        place: Place,
        /// The first epoch that is remembered.
        epoch: u64,
        /// The first place that is remembered in it.
        seq: u64,
    },
    /// A scope that cannot be kept.
    #[error("a scope is at most {MAX_SCOPE_BYTES} printable characters without blanks and colons")]
    Scope,
    /// Too many places are remembered.
    #[error("{MAX_PROMISES} signed places are remembered, and no more fit")]
    Full,
    /// The file.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The open file of what one key has signed; no other process can open it meanwhile.
pub struct Guard {
    ledger: Ledger,
    signed: Signed,
}

impl Guard {
    /// Opens or makes the file. To delete it is to forget every promise.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let mut signed = Signed::default();
        let ledger = Ledger::open(path, KIND, |line| signed.take(line).is_some())?;
        Ok(Self { ledger, signed })
    }

    /// Where the promises of a key file lie: beside it.
    pub fn beside(key_file: &Path) -> PathBuf {
        ledger::with_suffix(key_file, ".signed")
    }

    /// Promises to sign nothing else at this place. Only when this returned well may the
    /// record be signed: then the promise is on the disk. The same promise may be made again.
    pub fn promise(&mut self, place: &Place, id: &[u8; 32]) -> Result<(), GuardError> {
        check_scope(&place.series)?;
        if let Some((epoch, seq)) = self.signed.floor(place) {
            let place = place.clone();
            return Err(GuardError::Forgotten { place, epoch, seq });
        }
        if let Some(is) = self.signed.at(place) {
            return if is == *id {
                Ok(())
            } else {
                let place = place.clone();
                Err(GuardError::AlreadySigned { place, id: is })
            };
        }
        if self.signed.count() >= MAX_PROMISES {
            return Err(GuardError::Full);
        }
        self.ledger.append(&Signed::promise_line(place, id))?;
        self.signed.insert(place, id);
        Ok(())
    }

    /// What was promised at this place.
    pub fn promised(&self, place: &Place) -> Option<[u8; 32]> {
        self.signed.at(place)
    }

    /// How many places are remembered, of at most [`MAX_PROMISES`].
    pub fn count(&self) -> usize {
        self.signed.count()
    }

    /// Forgets what was signed in a series below a place, and signs nothing there ever again.
    pub fn forget_below(&mut self, place: &Place) -> Result<(), GuardError> {
        check_scope(&place.series)?;
        let mut next = self.signed.clone();
        next.forget_below(place);
        if next.count() > MAX_PROMISES {
            return Err(GuardError::Full);
        }
        self.ledger.rewrite(next.lines().map(Zeroizing::new))?;
        self.signed = next;
        Ok(())
    }
}

/// A scope stands between colons on a line.
fn check_scope(series: &Series) -> Result<(), GuardError> {
    let plain = |c: char| c.is_ascii_graphic() && c != ':';
    if series.scope.len() <= MAX_SCOPE_BYTES && series.scope.chars().all(plain) {
        Ok(())
    } else {
        Err(GuardError::Scope)
    }
}

/// What the lines say.
#[derive(Clone, Default)]
struct Signed {
    series: BTreeMap<Series, Remembered>,
    count: usize,
}

#[derive(Clone, Default)]
struct Remembered {
    /// Below this epoch and place nothing is known any more.
    floor: (u64, u64),
    ids: BTreeMap<(u64, u64), [u8; 32]>,
}

impl Signed {
    fn at(&self, place: &Place) -> Option<[u8; 32]> {
        let remembered = self.series.get(&place.series)?;
        remembered.ids.get(&(place.epoch, place.seq)).copied()
    }

    /// The floor that a place is below.
    fn floor(&self, place: &Place) -> Option<(u64, u64)> {
        let floor = self.series.get(&place.series)?.floor;
        ((place.epoch, place.seq) < floor).then_some(floor)
    }

    /// Places, and floors, which take a line too.
    fn count(&self) -> usize {
        self.count
    }

    fn insert(&mut self, place: &Place, id: &[u8; 32]) {
        let remembered = self.series.entry(place.series.clone()).or_default();
        let new = remembered.ids.insert((place.epoch, place.seq), *id);
        self.count += usize::from(new.is_none());
    }

    fn forget_below(&mut self, place: &Place) {
        let remembered = self.series.entry(place.series.clone()).or_default();
        let had_floor = remembered.floor > (0, 0);
        remembered.floor = remembered.floor.max((place.epoch, place.seq));
        let kept = remembered.ids.split_off(&remembered.floor);
        self.count += usize::from(!had_floor && remembered.floor > (0, 0));
        self.count -= remembered.ids.len();
        remembered.ids = kept;
    }

    fn promise_line(place: &Place, id: &[u8; 32]) -> String {
        format!("signed:{}:{}", place_text(place), hex::text(id))
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        self.series.iter().flat_map(|(series, remembered)| {
            let place = |(epoch, seq): (u64, u64)| Place {
                series: series.clone(),
                epoch,
                seq,
            };
            let floor = (remembered.floor > (0, 0))
                .then(|| format!("floor:{}", place_text(&place(remembered.floor))));
            let ids = remembered.ids.iter();
            let ids = ids.map(move |(at, id)| Self::promise_line(&place(*at), id));
            floor.into_iter().chain(ids)
        })
    }

    /// Takes a line that was written; nothing if no guard writes such a line.
    fn take(&mut self, line: &str) -> Option<()> {
        let (verb, rest) = line.split_once(':')?;
        match verb {
            "signed" => {
                let (place, id) = rest.rsplit_once(':')?;
                let (place, id) = (read_place(place)?, hex::read(id)?);
                let twice = self.at(&place).is_some() || self.floor(&place).is_some();
                if twice || self.count >= MAX_PROMISES {
                    return None;
                }
                self.insert(&place, &id);
            }
            "floor" => self.forget_below(&read_place(rest)?),
            _ => return None,
        }
        Some(())
    }
}

fn place_text(place: &Place) -> String {
    let Series {
        mesh_id,
        kind,
        scope,
    } = &place.series;
    let (epoch, seq) = (place.epoch, place.seq);
    format!("{}:{kind}:{scope}:{epoch}:{seq}", hex::text(mesh_id))
}

fn read_place(text: &str) -> Option<Place> {
    let mut words = text.split(':');
    let series = Series {
        mesh_id: hex::read(words.next()?)?,
        kind: words.next()?.parse().ok()?,
        scope: words.next()?.to_owned(),
    };
    check_scope(&series).ok()?;
    let place = Place {
        series,
        epoch: words.next()?.parse().ok()?,
        seq: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(place)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::ledger::tests as cut;

    fn place(scope: &str, epoch: u64, seq: u64) -> Place {
        let series = Series {
            mesh_id: [1; 32],
            kind: 3,
            scope: scope.to_owned(),
        };
        Place { series, epoch, seq }
    }

    fn id(number: u64) -> [u8; 32] {
        [number as u8; 32]
    }

    fn filled(path: &Path) -> Guard {
        let mut guard = Guard::open(path).unwrap();
        for seq in 0..5 {
            guard.promise(&place("stable", 2, seq), &id(seq)).unwrap();
        }
        guard
    }

    fn is_guarded(guard: &mut Guard, place: &Place, id: &[u8; 32]) {
        guard.promise(place, id).unwrap();
        match guard.promise(place, &[99; 32]) {
            Err(GuardError::AlreadySigned { place: at, id: is }) => {
                assert_eq!((&at, &is), (place, id));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn another_record_at_the_same_place_is_refused_after_a_restart_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = Guard::beside(&folder.path().join("admin.key"));
        assert!(path.ends_with("admin.key.signed"));
        for _ in 0..2 {
            let mut guard = filled(&path);
            assert_eq!(guard.count(), 5);
            for seq in 0..5 {
                is_guarded(&mut guard, &place("stable", 2, seq), &id(seq));
            }
        }
        let refused = filled(&path)
            .promise(&place("stable", 2, 4), &[0xab; 32])
            .unwrap_err()
            .to_string();
        let says = format!("kind 3 of stable, epoch 2, place 4: {}", "04".repeat(32));
        assert!(refused.ends_with(&says), "{refused}");
    }

    #[test]
    fn every_part_of_a_place_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut guard = Guard::open(&folder.path().join("signed")).unwrap();
        let mut places = vec![place("a", 1, 1), place("a", 1, 2), place("a", 2, 1)];
        places.extend([place("b", 1, 1), place("", 1, 1)]);
        let mut other = place("a", 1, 1);
        other.series.kind = 4;
        places.push(other.clone());
        other.series.mesh_id = [2; 32];
        places.push(other);
        for (number, place) in places.iter().enumerate() {
            guard.promise(place, &id(number as u64)).unwrap();
        }
        for (number, place) in places.iter().enumerate() {
            is_guarded(&mut guard, place, &id(number as u64));
        }
    }

    #[test]
    fn what_is_forgotten_is_never_signed_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signed");
        let mut guard = filled(&path);
        guard.promise(&place("other", 0, 0), &id(7)).unwrap();
        guard.forget_below(&place("stable", 2, 3)).unwrap();
        // a floor never sinks
        guard.forget_below(&place("stable", 1, 9)).unwrap();
        drop(guard);
        let mut guard = Guard::open(&path).unwrap();
        assert_eq!(guard.count(), 4, "a floor and three places");
        for (epoch, seq) in [(2, 0), (2, 2), (0, 9)] {
            let refused = guard.promise(&place("stable", epoch, seq), &id(seq));
            assert!(
                matches!(
                    refused,
                    Err(GuardError::Forgotten {
                        epoch: 2,
                        seq: 3,
                        ..
                    })
                ),
                "{refused:?}"
            );
        }
        is_guarded(&mut guard, &place("stable", 2, 3), &id(3));
        is_guarded(&mut guard, &place("stable", 2, 4), &id(4));
        is_guarded(&mut guard, &place("other", 0, 0), &id(7));
        guard.promise(&place("stable", 3, 0), &id(8)).unwrap();
        drop(guard);
        is_guarded(
            &mut Guard::open(&path).unwrap(),
            &place("stable", 3, 0),
            &id(8),
        );
    }

    #[test]
    fn no_more_than_the_limit_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let mut guard = Guard::open(&folder.path().join("signed")).unwrap();
        for seq in 0..MAX_PROMISES as u64 {
            guard.signed.insert(&place("a", 0, seq), &id(0));
        }
        let next = place("a", 1, 0);
        let full = guard.promise(&next, &id(1));
        assert!(matches!(full, Err(GuardError::Full)), "{full:?}");
        guard.forget_below(&next).unwrap();
        guard.promise(&next, &id(1)).unwrap();
        assert_eq!(guard.count(), 2);
    }

    #[test]
    fn a_scope_that_breaks_its_line_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut guard = Guard::open(&folder.path().join("signed")).unwrap();
        for scope in ["a:b", "a b", "a\n", "\0", "\u{e4}", &"x".repeat(129)] {
            let refused = guard.promise(&place(scope, 0, 0), &id(0));
            assert!(matches!(refused, Err(GuardError::Scope)), "{scope:?}");
        }
    }

    #[test]
    fn a_cut_of_power_loses_no_promise_that_was_told() {
        let folder = cut::folder();
        let path = folder.path().join("signed");
        drop(filled(&path));
        cut::every_cut(&path, |lines| {
            let mut guard = Guard::open(&path).unwrap();
            for seq in 0..lines.saturating_sub(1) as u64 {
                is_guarded(&mut guard, &place("stable", 2, seq), &id(seq));
            }
            guard.promise(&place("next", 0, 0), &id(9)).unwrap();
            drop(guard);
            let mut again = Guard::open(&path).unwrap();
            is_guarded(&mut again, &place("next", 0, 0), &id(9));
        });
    }

    #[test]
    fn no_changed_bit_is_passed_over() {
        let folder = cut::folder();
        let path = folder.path().join("signed");
        drop(filled(&path));
        cut::every_flip(&path, || {
            let Ok(mut guard) = Guard::open(&path) else {
                return false;
            };
            for seq in 0..5 {
                is_guarded(&mut guard, &place("stable", 2, seq), &id(seq));
            }
            true
        });
    }

    proptest! {
        #[test]
        fn any_line_is_taken_or_refused(line in "(signed|floor|other)(:[0-9a-f]{0,64}){0,7}") {
            let _ = Signed::default().take(&line);
        }

        #[test]
        fn what_is_written_is_read(
            kind in any::<u8>(), scope in "[!-9;-~]{0,128}", epoch in any::<u64>(), seq in any::<u64>(),
        ) {
            let series = Series { mesh_id: [5; 32], kind, scope };
            let place = Place { series, epoch, seq };
            prop_assert_eq!(read_place(&place_text(&place)), Some(place));
        }
    }
}
