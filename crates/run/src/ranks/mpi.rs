//! Ranks over OpenMPI.

use mpi::collective::CommunicatorCollectives;
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::Universe;
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::{Count, Threading};

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

    /// One exchange whose parts are at most a round long.
    fn round(&self, world: &SimpleCommunicator, parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let send_counts: Vec<Count> = parts.iter().map(|part| part.len() as Count).collect();
        let mut receive_counts = vec![0 as Count; self.size];
        world.all_to_all_into(&send_counts[..], &mut receive_counts[..]);
        let sent = parts.concat();
        let mut received = vec![0u8; receive_counts.iter().map(|&count| count as usize).sum()];
        let (send_at, receive_at) = (displacements(&send_counts), displacements(&receive_counts));
        let outgoing = Partition::new(&sent[..], &send_counts[..], &send_at[..]);
        let mut incoming =
            PartitionMut::new(&mut received[..], &receive_counts[..], &receive_at[..]);
        world.all_to_all_varcount_into(&outgoing, &mut incoming);
        let slice =
            |(&at, &count): (&Count, &Count)| received[at as usize..(at + count) as usize].to_vec();
        receive_at.iter().zip(&receive_counts).map(slice).collect()
    }
}

fn displacements(counts: &[Count]) -> Vec<Count> {
    let next = |at: &mut Count, count: &Count| {
        let here = *at;
        *at += count;
        Some(here)
    };
    counts.iter().scan(0, next).collect()
}

impl Wire for MpiWire {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn exchange(&self, parts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let world = SimpleCommunicator::world();
        let limit = ROUND / self.size;
        let mut longest = 0u64;
        let own = parts.iter().map(Vec::len).max().unwrap_or(0) as u64;
        world.all_reduce_into(&own, &mut longest, mpi::collective::SystemOperation::max());
        let mut received = vec![Vec::new(); self.size];
        for start in (0..(longest as usize).max(1)).step_by(limit) {
            let slice = |part: &'_ Vec<u8>| start.min(part.len())..(start + limit).min(part.len());
            let parts: Vec<&[u8]> = parts.iter().map(|part| &part[slice(part)]).collect();
            for (all, part) in received.iter_mut().zip(self.round(&world, &parts)) {
                all.extend(part);
            }
        }
        received
    }

    fn abort(&self, code: i32) -> ! {
        SimpleCommunicator::world().abort(code)
    }
}
