//! Which facets lie on the boundary.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::CellKind;
use crate::FemError;

/// A facet of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facet {
    /// The cell.
    pub cell: usize,
    /// Which of its facets.
    pub local: usize,
}

/// Facets that one cell only has, in the order of cells.
pub(super) fn boundary(kind: CellKind, cells: &[usize]) -> Result<Vec<Facet>, FemError> {
    let mut seen: HashMap<Vec<usize>, (Facet, usize)> = HashMap::new();
    for (cell, corners) in cells.chunks_exact(kind.corners()).enumerate() {
        for (local, places) in kind.facets().iter().enumerate() {
            let mut key: Vec<usize> = places.iter().map(|&k| corners[k]).collect();
            key.sort_unstable();
            match seen.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert((Facet { cell, local }, 1));
                }
                Entry::Occupied(mut entry) if entry.get().1 == 1 => entry.get_mut().1 = 2,
                Entry::Occupied(entry) => {
                    return Err(FemError::Crowded { facet: entry.key().clone() });
                }
            }
        }
    }
    let single = seen.into_values().filter(|&(_, count)| count == 1).map(|(facet, _)| facet);
    let mut facets: Vec<Facet> = single.collect();
    facets.sort_unstable_by_key(|facet| (facet.cell, facet.local));
    Ok(facets)
}
