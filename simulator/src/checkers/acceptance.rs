//! Nothing unsigned is accepted: of every record a threshold of different keys has signed
//! it that some root of the node's chain gives such records to; and every root is signed by
//! the one before it.

use std::{collections::BTreeSet, rc::Rc};

use super::knowledge::{Body, Fact, Held};

/// Looks at what a node accepted just now.
pub(super) fn look(node: usize, held: Option<&Held>, accepted: &[Rc<Fact>]) -> Result<(), String> {
    let Some(held) = held else {
        return Ok(());
    };
    let none = BTreeSet::new();
    for fact in accepted {
        let signed = match &fact.body {
            Body::Root(root) => {
                let mut roots = held.roots();
                let before = roots.find(|other| other.version + 1 == root.version);
                held.is_signed(root, fact, &none)
                    && before.is_none_or(|before| held.is_signed(before, fact, &none))
            }
            _ => held.roots().any(|root| held.is_signed(root, fact, &none)),
        };
        if !signed {
            let (kind, id, by) = (fact.kind, fact.id, fact.signers.len());
            return Err(format!(
                "node {node}: accepted {kind} {id}, which too few keys signed that may ({by} signatures are right)"
            ));
        }
    }
    Ok(())
}
