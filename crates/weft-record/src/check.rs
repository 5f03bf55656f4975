//! The checks that fields of several kinds share.

use crate::Invalid;

/// A list or text within its bounds.
pub(crate) fn length(
    field: &'static str,
    found: usize,
    least: usize,
    most: usize,
) -> Result<(), Invalid> {
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(Invalid::Length {
            field,
            found,
            least,
            most,
        })
    }
}

/// A number within its bounds.
pub(crate) fn number(
    field: &'static str,
    found: u64,
    least: u64,
    most: u64,
) -> Result<(), Invalid> {
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(Invalid::Number {
            field,
            found,
            least,
            most,
        })
    }
}

/// A list without duplicates, in the one order it may have.
pub(crate) fn sorted<T: Ord>(
    field: &'static str,
    mut items: impl Iterator<Item = T>,
) -> Result<(), Invalid> {
    let Some(mut last) = items.next() else {
        return Ok(());
    };
    for item in items {
        if item <= last {
            return Err(Invalid::Unsorted(field));
        }
        last = item;
    }
    Ok(())
}

/// Text that people read, on one line or several.
pub(crate) fn text(field: &'static str, text: &str, most: usize) -> Result<(), Invalid> {
    length(field, text.len(), 0, most)?;
    if text
        .chars()
        .any(|character| character.is_control() && character != '\n')
    {
        return Err(Invalid::Text(field));
    }
    Ok(())
}
