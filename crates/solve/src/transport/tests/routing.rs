use lisse_array::{Array, DType, Stream, check};

use crate::transport::{Router, RouterRule, importance_loss, load_loss};

fn gates(tokens: usize, experts: usize, seed: u64, bias: f64) -> Array {
    let logits = Stream::new(seed).normal(&[tokens, experts], DType::F64);
    let mut first = vec![0.0; experts];
    first[0] = bias;
    (logits + Array::from_vec(first, &[experts])).softmax(1)
}

#[test]
fn capacities_are_rounded_to_multiples_of_four() {
    let router = Router::new(RouterRule::TokensPerExpert);
    assert_eq!(router.capacity(8, 4), 4);
    assert_eq!(Router { multiple: 1, ..router.clone() }.capacity(8, 4), 2);
    for multiple in [1, 4] {
        let router = Router { multiple, ..router.clone() };
        let routed = router.route(&gates(8, 4, 0, 0.0)).unwrap();
        assert!(routed.dispatch.loads().iter().all(|&load| load <= router.capacity(8, 4)));
        assert!(routed.plan.unwrap().most_per_column() <= router.capacity(8, 4));
    }
}

#[test]
fn a_biased_router_still_serves_everybody() {
    let mut served = 0.0;
    for seed in 0..5 {
        let gates = gates(64, 8, seed, 3.0);
        let router = Router { iterations: 500, ..Router::new(RouterRule::TokensPerExpert) };
        let dispatch = router.route(&gates).unwrap().dispatch;
        assert_eq!(dispatch.loads(), [8; 8]);
        assert!(dispatch.served() > 0.95, "seed {seed}: {}", dispatch.served());
        served += dispatch.served() / 5.0;
        let greedy = Router::new(RouterRule::TopK { experts: 1 }).route(&gates).unwrap().dispatch;
        let dropped = 1.0 - greedy.served();
        assert!((0.5..0.9).contains(&dropped), "seed {seed}: {dropped}");
        assert!(greedy.imbalance() > 4.0 && greedy.loads()[0] == 8);
    }
    assert!(served >= 0.98, "{served}");
}

#[test]
fn tokens_get_at_most_their_experts() {
    let gates = gates(32, 8, 3, 1.0);
    let rule = RouterRule::ExpertsPerToken { experts: 2 };
    let router = Router { capacity_factor: 2.0, iterations: 300, ..Router::new(rule) };
    let routed = router.route(&gates).unwrap();
    assert!(routed.dispatch.experts_per_token().iter().all(|&count| count <= 2));
    assert!(routed.plan.unwrap().transposed().most_per_column() <= 2);
    assert!(routed.dispatch.imbalance() < 1.6, "{}", routed.dispatch.imbalance());
    for rule in [RouterRule::Quadratic, RouterRule::Sinkhorn { epsilon: 1.0, iterations: 20 }] {
        let dispatch = Router::new(rule).route(&gates).unwrap().dispatch;
        assert!(dispatch.loads().iter().all(|&load| load <= 4));
    }
}

/// Gathering rows and the einsum of one-hot tensors are the same mixture.
#[test]
fn index_and_einsum_forms_agree() {
    let gates = gates(12, 3, 1, 0.5);
    let tokens = Stream::new(9).normal(&[12, 5], DType::F64);
    let weights: Vec<Array> =
        (0..3).map(|e| Stream::new(20 + e).normal(&[5, 4], DType::F64)).collect();
    let dispatch = Router::new(RouterRule::TokensPerExpert).route(&gates).unwrap().dispatch;
    let gathered = dispatch.apply(&tokens, &gates, |e, x| x.matmul(&weights[e]).tanh());
    let ones = dispatch.one_hot(DType::F64);
    let slots = Array::einsum("tec,td->ecd", &[&ones, &tokens]);
    let results: Vec<Array> =
        (0..3).map(|e| slots.index(0, e).matmul(&weights[e]).tanh()).collect();
    let results = Array::stack(&results.iter().collect::<Vec<_>>(), 0);
    let mixed = Array::einsum("tec,ecd,te->td", &[&ones, &results, &gates]);
    assert!((gathered - mixed).abs().max_all().item() < 1e-14);
}

#[test]
fn combine_weights_are_differentiated_and_the_choice_is_not() {
    let logits = Stream::new(4).normal(&[8, 3], DType::F64);
    let tokens = Stream::new(5).normal(&[8, 4], DType::F64);
    let dispatch =
        Router::new(RouterRule::TokensPerExpert).route(&logits.softmax(1)).unwrap().dispatch;
    let weights: Vec<Array> =
        (0..3).map(|e| Stream::new(30 + e).normal(&[4, 4], DType::F64)).collect();
    let f = |(logits, tokens): &(Array, Array)| {
        dispatch.apply(tokens, &logits.softmax(1), |e, x| x.matmul(&weights[e]).tanh())
    };
    check::gradient(f, &(logits.clone(), tokens), 2).unwrap();
    let aux = |logits: &Array| {
        let gates = logits.softmax(1);
        importance_loss(&gates) + load_loss(&gates, &dispatch)
    };
    check::gradient(aux, &logits, 2).unwrap();
}

#[test]
fn balance_losses_are_least_where_balanced() {
    let balanced = Array::full(&[8, 4], 0.25, DType::F64);
    assert_eq!(importance_loss(&balanced).item(), 0.0);
    let dispatch =
        Router::new(RouterRule::TopK { experts: 1 }).route(&gates(64, 4, 0, 4.0)).unwrap().dispatch;
    assert!(load_loss(&gates(64, 4, 0, 4.0), &dispatch).item() > 2.0);
    assert!(importance_loss(&gates(64, 4, 0, 4.0)).item() > 1.0);
}

#[test]
fn routers_out_of_range_are_named() {
    let gates = gates(8, 4, 0, 0.0);
    let error = |router: Router| router.route(&gates).unwrap_err().to_string();
    assert_eq!(
        error(Router::new(RouterRule::TopK { experts: 5 })),
        "experts: 5; it must be 1 to 4, the number of experts"
    );
    let base = Router::new(RouterRule::TokensPerExpert);
    assert_eq!(error(Router { multiple: 0, ..base.clone() }), "multiple: 0; it must be at least 1");
    assert!(
        error(Router { capacity_factor: -1.0, ..base.clone() }).starts_with("capacity_factor: -1;")
    );
    let broken = Array::full(&[2, 2], f64::NAN, DType::F64);
    for rule in [RouterRule::TopK { experts: 1 }, RouterRule::TokensPerExpert] {
        assert!(Router::new(rule).route(&broken).unwrap_err().to_string().contains("NaN"));
    }
}
