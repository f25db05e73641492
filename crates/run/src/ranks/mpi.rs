//! Ranks over OpenMPI.

use mpi::Threading;
use mpi::collective::{CommunicatorCollectives, SystemOperation};
use mpi::environment::Universe;
use mpi::topology::{Communicator, SimpleCommunicator};

use super::Wire;
use crate::Error;

/// MPI counts in 32 bits; longer exchanges go in rounds of this many bytes for each rank.
const ROUND: usize = 1 << 30;

pub(crate) struct MpiWire {
    /// MPI ends when this is dropped.
    _universe: Universe,
    rank: usize,
    size: usize,
}

impl MpiWire {
    pub(crate) fn new() -> Result<MpiWire, Error> {
        // Kernels use threads, but only one at a time talks to the other ranks.
        let (universe, support) = mpi::initialize_with_threading(Threading::Serialized)
            .ok_or_else(|| Error::Ranks("MPI was initialised twice in this process".into()))?;
        if support < Threading::Serialized {
            return Err(Error::Ranks(
                "this MPI does not support programs with threads (MPI_THREAD_SERIALIZED)".into(),
            ));
        }
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        Ok(MpiWire { _universe: universe, rank, size })
    }
}

/// Bytes `start..start + block` of a part, as far as it goes.
fn piece(part: &[u8], start: usize, block: usize) -> &[u8] {
    &part[start.min(part.len())..(start + block).min(part.len())]
}

impl Wire for MpiWire {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    /// Every part is padded to the longest: one plain all-to-all instead of the one with counts, which
    /// OpenMPI 4.1.4 refused (`MPI_ERR_TRUNCATE`) when some parts were empty.
    fn exchange(&self, parts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let world = SimpleCommunicator::world();
        let lengths: Vec<u64> = parts.iter().map(|part| part.len() as u64).collect();
        let mut expected = vec![0u64; self.size];
        world.all_to_all_into(&lengths[..], &mut expected[..]);
        let own = lengths.iter().copied().max().unwrap_or(0);
        let mut longest = 0u64;
        world.all_reduce_into(&own, &mut longest, SystemOperation::max());
        let mut received = vec![Vec::new(); self.size];
        for start in (0..longest as usize).step_by(ROUND / self.size) {
            let block = (longest as usize - start).min(ROUND / self.size);
            let mut sent = vec![0u8; block * self.size];
            for (room, part) in sent.chunks_exact_mut(block).zip(&parts) {
                let piece = piece(part, start, block);
                room[..piece.len()].copy_from_slice(piece);
            }
            let mut arrived = vec![0u8; block * self.size];
            world.all_to_all_into(&sent[..], &mut arrived[..]);
            for ((all, room), &length) in
                received.iter_mut().zip(arrived.chunks_exact(block)).zip(&expected)
            {
                all.extend_from_slice(&room[..(length as usize).saturating_sub(start).min(block)]);
            }
        }
        received
    }

    fn abort(&self, code: i32) -> ! {
        SimpleCommunicator::world().abort(code)
    }
}
