//! Splits, labels, scale, batches, augmentation.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lisse_array::{Array, DType, Stream};
use lisse_data::{
    Augmentation, Batches, DataError, Dataset, Fill, Loader, Missing, Prefetch, Standardizer,
    k_fold, label_noise, one_hot, split, stratified_split,
};
use proptest::prelude::*;

fn message<T>(result: Result<T, DataError>) -> String {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.to_string(),
    }
}

fn is_partition(parts: [&[usize]; 2], len: usize) -> bool {
    let mut all = parts.concat();
    all.sort_unstable();
    all == (0..len).collect::<Vec<_>>()
}

#[test]
fn splits_partition_and_depend_on_the_seed_only() {
    let parts = split(101, 0.25, &Stream::new(1)).unwrap();
    assert_eq!(parts.test.len(), 25);
    assert!(is_partition([&parts.train, &parts.test], 101));
    assert!(parts.train.is_sorted() && parts.test.is_sorted());
    assert_eq!(parts, split(101, 0.25, &Stream::new(1)).unwrap());
    assert_ne!(parts, split(101, 0.25, &Stream::new(2)).unwrap());
    for fraction in [0.0, 1.0, -0.5, f64::NAN, 0.001] {
        assert_eq!(
            message(split(101, fraction, &Stream::new(1))),
            format!(
                "split: a test fraction of {fraction} of 101 examples leaves one part empty; expected a fraction between 0 and 1 with an example in each part"
            )
        );
    }
}

#[test]
fn folds_partition() {
    let folds = k_fold(11, 3, &Stream::new(0)).unwrap();
    let held_out: Vec<usize> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
    assert!(is_partition([&held_out, &[]], 11));
    for fold in &folds {
        assert!(is_partition([&fold.train, &fold.test], 11));
        assert!((3..=4).contains(&fold.test.len()));
    }
    assert_eq!(
        message(k_fold(3, 4, &Stream::new(0))),
        "k_fold: 4 folds of 3 examples; expected 2 to 3 folds"
    );
}

proptest! {
    #[test]
    fn stratified_splits_give_each_class_its_share(
        labels in prop::collection::vec(0i64..5, 20..200),
        fraction in 0.05f64..0.95,
        seed in 0u64..1000,
    ) {
        let parts = stratified_split(&labels, fraction, &Stream::new(seed)).unwrap();
        prop_assert!(is_partition([&parts.train, &parts.test], labels.len()));
        prop_assert_eq!(parts.test.len(), (fraction * labels.len() as f64).round() as usize);
        for class in 0..5 {
            let size = labels.iter().filter(|&&label| label == class).count() as f64;
            let held_out = parts.test.iter().filter(|&&index| labels[index] == class).count() as f64;
            prop_assert!((held_out - fraction * size).abs() <= 1.0 + 1e-9);
        }
    }

    #[test]
    fn an_epoch_is_one_order_for_every_batch_size(len in 1usize..60, size in 1usize..70, seed in 0u64..100) {
        let order = |size: usize, epoch: u64| -> Vec<usize> {
            let batches = Batches::new(len, size).unwrap().shuffled(&Stream::new(seed));
            batches.epoch(epoch).flat_map(|selection| selection.indices).collect()
        };
        for epoch in 0..3 {
            let whole = order(len, epoch);
            prop_assert!(is_partition([&whole, &[]], len));
            prop_assert_eq!(order(size, epoch), whole);
        }
    }
}

#[test]
fn small_classes_keep_one_example_in_training() {
    let labels = [0, 0, 0, 0, 0, 0, 0, 0, 1, 2];
    let parts = stratified_split(&labels, 0.5, &Stream::new(3)).unwrap();
    assert!(parts.train.contains(&8) && parts.train.contains(&9));
    assert_eq!(parts.test.len(), 4 + 1);
}

#[test]
fn batches_resume_where_they_stopped() {
    let batches = Batches::new(50, 8).unwrap().shuffled(&Stream::new(5));
    let run: Vec<_> = batches.from_step(0).take(20).collect();
    let resumed = Batches::new(50, 8).unwrap().shuffled(&Stream::new(5));
    assert_eq!(resumed.from_step(13).take(7).collect::<Vec<_>>(), run[13..]);
    // Going back gives the same again.
    assert_eq!(batches.at(3), run[3]);
    assert_eq!((run[6].indices.len(), run[6].epoch, run[7].epoch), (2, 0, 1));
    assert_ne!(run[0].indices, run[7].indices);

    let even = Batches::new(50, 8).unwrap().drop_last().unwrap();
    assert_eq!(even.per_epoch(), 6);
    assert_eq!(even.at(6).indices, (0..8).collect::<Vec<_>>());
    assert_eq!(
        message(Batches::new(50, 0)),
        "Batches: batches of 0 out of 50 examples; expected at least 1 of each"
    );
    assert_eq!(
        message(Batches::new(5, 8).unwrap().drop_last()),
        "Batches::drop_last: batches of 8 out of 5 examples leave none; expected a batch size of at most 5"
    );
}

#[test]
fn loading_ahead_and_resuming_change_nothing() {
    let digits = Dataset::bundled("digits").unwrap();
    let stream = Stream::new(2);
    let loader = || {
        let batches = Batches::new(digits.len(), 256).unwrap().shuffled(&stream);
        let augmentation = Augmentation::new().random_crop(1).random_flip(0.5);
        Loader::new(digits.clone(), batches).unwrap().augmented(augmentation, &stream).unwrap()
    };
    let straight = loader();
    let mut steps = 5..;
    for (batch, step) in loader().prefetch(5..17, 3).zip(&mut steps) {
        let expected = straight.batch(step);
        assert_eq!(batch.selection, expected.selection);
        assert_eq!(batch.inputs.to_vec::<f32>(), expected.inputs.to_vec::<f32>());
        assert_eq!(batch.targets.to_vec::<i64>(), expected.targets.to_vec::<i64>());
    }
    assert_eq!(steps.start, 17);
    assert_eq!(
        message(Loader::new(digits.clone(), Batches::new(10, 2).unwrap())),
        "Loader: batches of 10 examples for `digits`, which has 1797"
    );
}

#[test]
fn prefetch_stops_when_dropped_and_passes_panics_on() {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    let mut endless = Prefetch::new(
        2,
        (0..).inspect(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        }),
    );
    assert_eq!(endless.next(), Some(0));
    drop(endless);
    assert!(made.load(Ordering::SeqCst) <= 5);

    let mut failing = Prefetch::new(1, (0..3).inspect(|&i| assert!(i < 1, "item {i} failed")));
    assert_eq!(failing.next(), Some(0));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| failing.next()));
    let text = panic.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*text, "item 1 failed");
}

#[test]
fn augmentation_of_an_example_does_not_depend_on_its_batch() {
    let images = Array::arange(0.0, 2.0 * 6.0 * 3.0 * 4.0 * 5.0, 2.0, DType::F32);
    let images = images.reshape(&[6, 3, 4, 5]);
    let stream = Stream::new(9);
    let augmentation =
        Augmentation::new().pad(1, Fill::Edge).random_crop_to(5, 5).random_crop(2).random_flip(0.5);
    let together = augmentation.apply(&images, &[3, 1, 4, 0, 5, 9], 2, &stream).unwrap();
    assert_eq!(together.shape(), [6, 3, 5, 5]);
    let together = together.to_vec::<f32>();
    for (place, index) in [3, 1, 4, 0, 5, 9].into_iter().enumerate() {
        let image = images.narrow(0, place, 1);
        let alone = augmentation.apply(&image, &[index], 2, &stream).unwrap().to_vec::<f32>();
        assert_eq!(alone, together[place * 75..(place + 1) * 75]);
    }
    let next_epoch = augmentation.apply(&images, &[3, 1, 4, 0, 5, 9], 3, &stream).unwrap();
    assert_ne!(next_epoch.to_vec::<f32>(), together);
}

#[test]
fn crops_and_flips_are_uniform() {
    let image = Array::arange(1.0, 3.0, 1.0, DType::U8).reshape(&[1, 1, 1, 2]);
    let images = image.expand(&[3000, 1, 1, 2]);
    let indices: Vec<usize> = (0..3000).collect();
    let count = |augmentation: Augmentation, wanted: [u8; 2]| {
        let changed = augmentation.apply(&images, &indices, 0, &Stream::new(4)).unwrap();
        changed.to_vec::<u8>().chunks(2).filter(|pair| **pair == wanted).count()
    };
    // A standard deviation is 27 and, for one place of three each way, 17.
    assert!(count(Augmentation::new().random_flip(0.5), [2, 1]).abs_diff(1500) < 110);
    assert_eq!(count(Augmentation::new().random_flip(0.0), [2, 1]), 0);
    assert_eq!(count(Augmentation::new().random_flip(1.0), [2, 1]), 3000);
    assert!(count(Augmentation::new().random_crop(1), [0, 1]).abs_diff(333) < 70);
    let filled = Augmentation::new().random_crop_filled(1, Fill::Value(7.0));
    assert!(count(filled, [2, 7]).abs_diff(333) < 70);
}

#[test]
fn augmentations_that_do_not_fit_are_refused() {
    let images = Array::ones(&[2, 1, 4, 4], DType::F32);
    let apply = |augmentation: Augmentation, images: &Array| {
        message(augmentation.apply(images, &[0, 1], 0, &Stream::new(0)))
    };
    assert_eq!(
        apply(Augmentation::new(), &Array::ones(&[2, 4, 4], DType::F32)),
        "Augmentation: shape [2, 4, 4]; expected [n, channels, height, width]"
    );
    assert_eq!(
        apply(Augmentation::new().random_crop_to(5, 4), &images),
        "Augmentation: cannot crop 5x4 out of images of 4x4; pad them first"
    );
    assert_eq!(
        apply(Augmentation::new().random_crop_to(0, 4), &images),
        "Augmentation: a crop needs at least one pixel"
    );
    assert_eq!(
        apply(Augmentation::new().pad(4, Fill::Reflect), &images),
        "Augmentation: cannot reflect 4 pixels at the border of images of 4x4; at most 3 can be"
    );
    assert_eq!(
        apply(Augmentation::new().random_flip(1.5), &images),
        "Augmentation: flip probability is 1.5; expected a number from 0 to 1"
    );
    assert_eq!(
        message(Augmentation::new().apply(&images, &[0], 0, &Stream::new(0))),
        "Augmentation: 1 indices for 2 images"
    );
}

#[test]
fn standardizing_gives_unit_scale_and_is_undone() {
    let cancer = Dataset::bundled("breast_cancer").unwrap();
    let (train, test) = cancer.train_test(0.3, &Stream::new(0)).unwrap();
    let standardizer = Standardizer::fit(&train.inputs).unwrap();
    let z = standardizer.apply(&train.inputs).unwrap();
    assert!(z.mean(&[0]).to_f64_vec().iter().all(|mean| mean.abs() < 1e-12));
    assert!(z.square().mean(&[0]).to_f64_vec().iter().all(|power| (power - 1.0).abs() < 1e-12));

    let back = standardizer.invert(&standardizer.apply(&test.inputs).unwrap()).unwrap();
    let error = (&back - &test.inputs).abs() / test.inputs.abs().maximum(&test.inputs.ones_like());
    assert!(error.to_f64_vec().iter().all(|error| *error < 1e-13));

    let text = serde_json::to_string(&standardizer).unwrap();
    assert_eq!(serde_json::from_str::<Standardizer>(&text).unwrap(), standardizer);

    let digits = Dataset::bundled("digits").unwrap();
    let per_channel = Standardizer::fit(&digits.inputs).unwrap();
    assert_eq!(per_channel.mean.len(), 1);
    assert_eq!(per_channel.apply(&digits.inputs).unwrap().dtype(), DType::F32);
}

#[test]
fn standardizing_refuses_what_does_not_fit() {
    let constant = Array::full(&[3, 2], 0.1, DType::F64);
    let standardizer = Standardizer::fit(&constant).unwrap();
    assert_eq!(standardizer.scale, [1.0, 1.0]);
    assert_eq!(
        message(standardizer.apply(&Array::ones(&[4, 3], DType::F64))),
        "Standardizer::apply: shape [4, 3] has 3 features (axis 1); it was fitted on 2"
    );
    assert_eq!(
        message(standardizer.invert(&Array::ones(&[4], DType::F64))),
        "Standardizer::invert: f64 of shape [4]; expected floating point of shape [n, features, ...]"
    );
    assert_eq!(
        message(Standardizer::fit(&Array::zeros(&[0, 2], DType::F64))),
        "Standardizer::fit: shape [0, 2] holds no values; expected at least one row"
    );
}

#[test]
fn label_noise_changes_exactly_the_wanted_number_to_another_class() {
    let labels: Vec<i64> = (0..1000).map(|i| i % 7).collect();
    let clean = Array::from_slice(&labels, &[1000]);
    for fraction in [0.0, 0.2, 0.3337, 1.0] {
        let noisy = label_noise(&clean, fraction, 7, &Stream::new(1)).unwrap();
        let new = noisy.labels.to_vec::<i64>();
        let changed: Vec<usize> = (0..1000).filter(|&i| new[i] != labels[i]).collect();
        assert_eq!(changed.len(), (fraction * 1000.0).round() as usize);
        assert_eq!(changed, noisy.flipped);
        assert!(new.iter().all(|label| (0..7).contains(label)));
    }
    // Each of the six other classes gets its share of the 1000 flips: 167 with a standard deviation of 12.
    let all = label_noise(&clean, 1.0, 7, &Stream::new(1)).unwrap().labels.to_vec::<i64>();
    for shift in 1..7 {
        let count = (0..1000).filter(|&i| (all[i] - labels[i]).rem_euclid(7) == shift).count();
        assert!(count.abs_diff(167) < 55, "shift {shift}: {count}");
    }
}

#[test]
fn label_faults_are_named() {
    let labels = Array::from_slice(&[0i64, 3, 1], &[3]);
    let noise =
        |fraction, classes| message(label_noise(&labels, fraction, classes, &Stream::new(0)));
    assert_eq!(noise(1.5, 4), "label_noise: fraction is 1.5; expected a number from 0 to 1");
    assert_eq!(noise(f64::NAN, 4), "label_noise: fraction is NaN; expected a number from 0 to 1");
    assert_eq!(noise(0.5, 1), "label_noise: 1 classes leave no other label; expected at least 2");
    assert_eq!(noise(0.5, 3), "label_noise: label 3 in row 2; expected 0 to 2 (3 classes)");
    assert_eq!(
        message(one_hot(&labels, 3, DType::F32)),
        "one_hot: label 3 in row 2; expected 0 to 2 (3 classes)"
    );
    assert_eq!(
        message(one_hot(&Array::ones(&[2], DType::F32), 3, DType::F32)),
        "labels: f32 of shape [2]; expected whole numbers of shape [n]"
    );
}

#[test]
fn values_that_are_not_finite_are_refused_dropped_or_kept() {
    let inputs = Array::from_slice(&[1.0f32, 2.0, 3.0, f32::NAN, 5.0, 6.0], &[3, 2]);
    let targets = Array::from_slice(&[1.0, 2.0, f64::INFINITY], &[3]);
    let make = |missing| Dataset::with_missing("made", inputs.clone(), targets.clone(), missing);
    assert_eq!(
        message(make(Missing::Refuse)),
        "made: row 2, column 2 (`input 2`): NaN; drop such rows with `Missing::DropRows` or keep them with `Missing::Keep`"
    );
    assert_eq!(
        message(Dataset::new("made", inputs.ones_like(), targets.clone())),
        "made: row 3, column 1 (`target 1`): inf; drop such rows with `Missing::DropRows` or keep them with `Missing::Keep`"
    );
    assert_eq!(make(Missing::DropRows).unwrap().inputs.to_vec::<f32>(), [1.0, 2.0]);
    assert_eq!(make(Missing::Keep).unwrap().len(), 3);
    let all = Array::full(&[3], f64::NAN, DType::F64);
    assert_eq!(
        message(Dataset::with_missing("made", inputs.clone(), all, Missing::DropRows)),
        "made: no rows; expected at least one (3 rows with missing values were dropped)"
    );
}

#[test]
fn arrays_that_do_not_go_together_are_refused() {
    let ones = |shape: &[usize]| Array::ones(shape, DType::F32);
    assert_eq!(
        message(Dataset::new("made", ones(&[3, 2]), ones(&[2]))),
        "Dataset: `made` has 3 inputs but 2 targets; the first axes must be equally long"
    );
    assert_eq!(
        message(Dataset::new("made", ones(&[0, 2]), ones(&[0]))),
        "made: no rows; expected at least one"
    );
    assert_eq!(
        message(Dataset::new("made", Array::scalar(1.0), ones(&[1]))),
        "Dataset: a single number has no examples; expected shape [n, ...]"
    );
    let iris = Dataset::bundled("iris").unwrap();
    assert_eq!(
        message(iris.with_targets(ones(&[3]))),
        "Dataset::with_targets: 3 targets for the 150 inputs of `iris`"
    );
}
