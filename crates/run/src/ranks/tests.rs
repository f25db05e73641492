use lisse_array::{Array, DType};
use proptest::prelude::*;

use super::*;

#[test]
fn alone_everything_is_its_own() {
    let ranks = Ranks::alone();
    assert_eq!((ranks.rank(), ranks.size()), (0, 1));
    assert_eq!(ranks.map(4, |i| Ok(i * i)).unwrap(), [0, 1, 4, 9]);
    assert_eq!(ranks.broadcast(7).unwrap(), 7);
    let mut values = [1.5f32, 2.0];
    ranks.all_reduce_sum(&mut values);
    assert_eq!(values, [1.5, 2.0]);
    assert_eq!(ranks.gather(&"a".to_owned()).unwrap(), ["a"]);
    assert_eq!(ranks.lead(|| Ok(3)).unwrap(), Some(3));
}

#[test]
fn three_ranks_share_the_work() {
    let results = Ranks::threads(3, |ranks| {
        let squares = ranks.map(7, |i| Ok(i * i)).unwrap();
        let mut values: Vec<f64> = (0..5).map(|i| (i + ranks.rank() * 10) as f64).collect();
        ranks.all_reduce_sum(&mut values);
        let tree = (
            Array::full(&[2, 2], ranks.rank() as f64, DType::F32),
            Array::arange(0.0, 3.0, 1.0, DType::I64),
        );
        let sum = ranks.all_reduce_tree(&tree);
        let first = ranks.broadcast_tree(&tree).unwrap();
        ranks.barrier();
        (
            squares,
            values,
            sum.0.to_f64_vec(),
            sum.1.to_f64_vec(),
            first.0.to_f64_vec(),
            ranks.broadcast(ranks.rank()).unwrap(),
        )
    });
    for (squares, values, sum, integers, first, leader) in results {
        assert_eq!(squares, [0, 1, 4, 9, 16, 25, 36]);
        assert_eq!(values, [30.0, 33.0, 36.0, 39.0, 42.0]);
        assert_eq!(sum, [3.0; 4]);
        assert_eq!(integers, [0.0, 1.0, 2.0]);
        assert_eq!(first, [0.0; 4]);
        assert_eq!(leader, 0);
    }
}

#[test]
fn sums_are_the_same_bits_everywhere() {
    let results = Ranks::threads(4, |ranks| {
        let mut values: Vec<f32> =
            (0..101).map(|i| ((i * 31 + ranks.rank() * 17) as f32).sin() * 1e3).collect();
        ranks.all_reduce_sum(&mut values);
        values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    });
    assert!(results.iter().all(|bits| *bits == results[0]));
}

#[test]
fn a_failure_of_one_is_told_to_all() {
    let results = Ranks::threads(3, |ranks| {
        let mapped = ranks
            .map(3, |i| if i == 1 { Err(Error::message("no memory")) } else { Ok(i) })
            .unwrap_err()
            .to_string();
        let led = ranks.lead(|| Err::<(), _>(Error::message("no disk"))).unwrap_err().to_string();
        (mapped, led)
    });
    assert!(results.iter().all(|(mapped, _)| mapped == "ranks: rank 1 failed: no memory"));
    assert_eq!(results[0].1, "no disk");
    assert_eq!(results[2].1, "ranks: the first rank failed: no disk");
}

proptest! {
    #[test]
    fn shares_cover_all_indices_once(n in 0usize..50, size in 1usize..9) {
        let all: Vec<usize> = (0..size).flat_map(|rank| share(n, rank, size)).collect();
        prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
    }
}
