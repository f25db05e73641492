//! Turns, bad input, saved states.

use super::super::{Cost, Environment, Map, Pattern, Penalty};
use super::super::{
    Domain, Ensemble, Hedge, Hint, LearnerConfig, Ledger, Meta, OnlineError, OptimisticOmd, Player,
    SeaStream, Setting, Steps, play,
};
use super::{Circle, circle_setting, config};

const NAMES: [&str; 15] = [
    r#"{"name": "oomd"}"#,
    r#"{"name": "oomd", "bound": {"name": "doubling", "first": 0.1}}"#,
    r#"{"name": "oomd-sc"}"#,
    r#"{"name": "oomd-exp"}"#,
    r#"{"name": "oomd-implicit"}"#,
    r#"{"name": "ogd"}"#,
    r#"{"name": "ogd-sc"}"#,
    r#"{"name": "adagrad-norm"}"#,
    r#"{"name": "ons"}"#,
    r#"{"name": "oftrl"}"#,
    r#"{"name": "oftl-sc"}"#,
    r#"{"name": "ensemble", "grid": "paper"}"#,
    r#"{"name": "ader"}"#,
    r#"{"name": "sword"}"#,
    r#"{"name": "doubling", "first": 4, "learner": {"name": "ensemble"}}"#,
];

/// Every learner stays in its set, and one that was saved and read goes on bit for bit.
#[test]
fn saved_in_the_middle() {
    for text in NAMES {
        let learner = config(text).build(&circle_setting(40)).unwrap();
        let mut whole = Player::new(learner, Hint::Last).unwrap();
        let mut ledger = Ledger::new(2, &[10, 40]);
        play(&mut whole, &Circle, &mut ledger, 17, None).unwrap();
        let text_of = serde_json::to_string(&(&whole, &ledger)).unwrap();
        let (mut read, mut read_ledger): (Player, Ledger) = serde_json::from_str(&text_of).unwrap();
        play(&mut whole, &Circle, &mut ledger, 23, None).unwrap();
        play(&mut read, &Circle, &mut read_ledger, 23, None).unwrap();
        assert_eq!(whole, read, "{text}");
        assert_eq!(ledger, read_ledger, "{text}");
        assert_eq!(ledger.marks.iter().map(|m| m.round).collect::<Vec<_>>(), [10, 40]);
        assert!(circle_setting(1).domain.contains(whole.point(), 1e-12), "{text}");
    }
}

#[test]
fn turns_are_taken() {
    for text in NAMES {
        let learner = config(text).build(&circle_setting(40)).unwrap();
        let mut player = Player::new(learner, Hint::Last).unwrap();
        let early = player.update(&[0.0, 0.0]).unwrap_err();
        assert_eq!(early, OnlineError::OutOfTurn { round: 1, called: "update" });
        player.predict().unwrap();
        assert!(matches!(player.predict(), Err(OnlineError::OutOfTurn { .. })), "{text}");
    }
}

/// A refused gradient leaves the state as it was.
#[test]
fn bad_gradients_are_named_and_harmless() {
    for text in NAMES {
        let learner = config(text).build(&circle_setting(40)).unwrap();
        let mut player = Player::new(learner, Hint::Last).unwrap();
        player.predict().unwrap();
        let before = player.clone();
        let loss = Circle.round(1);
        let error = player.update_with(&[1.0, f64::NAN], &*loss).unwrap_err().to_string();
        assert!(error.contains("the gradient of round 1 is not finite: entry 1 is NaN"), "{error}");
        let error = player.update_with(&[1.0], &*loss).unwrap_err().to_string();
        assert!(error.contains("the gradient has 1 entries; expected 2"), "{error}");
        assert_eq!(player, before, "{text}");
        player.update_with(&[1.0, 0.0], &*loss).unwrap();
    }
}

#[test]
fn what_needs_the_loss_says_so() {
    for (text, hint) in [
        (r#"{"name": "oomd-implicit"}"#, Hint::Last),
        (r#"{"name": "sword"}"#, Hint::None),
        (r#"{"name": "oomd"}"#, Hint::Middle),
    ] {
        let learner = config(text).build(&circle_setting(40)).unwrap();
        let mut player = Player::new(learner, hint).unwrap();
        player.predict().unwrap();
        let error = player.update(&[1.0, 0.0]).unwrap_err().to_string();
        assert!(error.contains("needs the loss itself"), "{error}");
    }
    let learner = config(r#"{"name": "oftrl"}"#).build(&circle_setting(40)).unwrap();
    let error = Player::new(learner, Hint::Middle).unwrap_err().to_string();
    assert!(error.contains("`hint` is out of range"), "{error}");
}

#[test]
fn numbers_out_of_range_are_named() {
    let setting = Setting::new(Domain::Ball { radius: 1.0 }, 2, 1.0);
    let refused = |text: &str, key: &str| {
        let error = config(text).build(&setting).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{key}` is out of range")), "{text}: {error}");
    };
    refused(r#"{"name": "oomd", "delta": 0.0}"#, "steps.delta");
    refused(r#"{"name": "oomd", "map": "entropy"}"#, "map");
    refused(r#"{"name": "oomd", "penalty": {"name": "elastic-net", "l1": -1.0}}"#, "penalty");
    refused(r#"{"name": "oomd", "bound": {"name": "known", "value": -1.0}}"#, "steps.bound.value");
    refused(r#"{"name": "oomd-sc"}"#, "lambda");
    refused(r#"{"name": "oomd-exp"}"#, "alpha");
    refused(r#"{"name": "constant", "eta": 0.0}"#, "steps.eta");
    refused(r#"{"name": "ensemble", "switching": -1.0}"#, "switching");
    refused(r#"{"name": "doubling", "first": 0, "learner": {"name": "ogd"}}"#, "first");
    let flat = Setting { gradient_bound: 0.0, ..setting.clone() };
    assert!(LearnerConfig::Ogd.build(&flat).is_err());
    // A set of one point leaves nothing to choose.
    let point = Setting::new(Domain::Simplex, 1, 1.0);
    assert!(LearnerConfig::oomd().build(&point).is_err());
    let simplex = OptimisticOmd::new(Domain::Simplex, 3, Steps::Constant { eta: 1.0 }).unwrap();
    let entropy = simplex.clone().with_map(Map::Entropy).unwrap();
    assert!(simplex.with_penalty(Penalty::ElasticNet { l1: 1.0, l2: 0.0 }).is_err());
    assert!(entropy.implicit().is_err());
    assert!(Hedge::new(0, 1.0).is_err() && Hedge::new(2, 0.0).is_err());
    let hedge = Hedge::new(2, 1.0).unwrap();
    assert!(Ensemble::new(Vec::new(), hedge, Meta::Surrogate).is_err());
}

#[test]
fn lists_run_out() {
    let steps = Steps::Given { etas: vec![0.1; 3] };
    let learner = OptimisticOmd::new(Domain::Ball { radius: 1.0 }, 2, steps).unwrap();
    let mut player = Player::new(super::Learner::Omd(learner), Hint::Last).unwrap();
    let error = play(&mut player, &Circle, &mut Ledger::new(2, &[]), 4, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the list of step sizes was planned for 3 rounds and has played them all"
    );
    let learner = LearnerConfig::oomd().build(&circle_setting(9)).unwrap();
    let mut player = Player::new(learner, Hint::Given).unwrap();
    let hints = vec![vec![0.0; 2]; 2];
    let error = play(&mut player, &Circle, &mut Ledger::new(2, &[]), 3, Some(&hints)).unwrap_err();
    assert!(error.to_string().contains("the list of hints was planned for 2 rounds"));
}

/// Online to batch: the average of the points solves the stochastic problem, better with more rounds.
#[test]
fn averages_of_points_solve_the_mean_problem() {
    let domain = Domain::Ball { radius: 1.0 };
    let excess = |rounds: u64| {
        let stream =
            SeaStream::new(domain.clone(), 3, Cost::Quadratic, Pattern::Still, 0.5, 1.0, 7)
                .unwrap();
        let learner = LearnerConfig::oomd().build(&stream.setting()).unwrap();
        let mut player = Player::new(learner, Hint::None).unwrap();
        let mut ledger = Ledger::new(3, &[]);
        play(&mut player, &stream, &mut ledger, rounds, None).unwrap();
        stream.excess(ledger.average()).unwrap().unwrap()
    };
    let (few, many) = (excess(50), excess(3200));
    assert!(many < 0.25 * few && many >= 0.0, "{few} then {many}");
}
