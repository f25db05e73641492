//! The recipe kinds and recipes of this crate, and the methods behind them.

mod batch_regression;
mod classify;
mod clipping;
mod energy;
mod language;
mod newton;
mod prune;
mod race;
mod sizes;
mod stochastic_convex;
mod surrogate;
mod tabular;
mod training_race;
mod unlearn;

use lisse_run::{Method, RecipeEntry, Registry, recipe};

pub use batch_regression::BatchRegression;
pub use classify::Classify;
pub use energy::EnergyModels;
pub use language::Language;
pub use newton::NewtonRace;
pub use prune::Prune;
pub use race::Race;
pub use stochastic_convex::StochasticConvex;
pub use surrogate::SurrogateRace;
pub use tabular::Tabular;
pub use training_race::TrainingRace;
pub use unlearn::Unlearn;

/// Adds everything here to a registry.
pub fn register(registry: &mut Registry) {
    registry.add_kind(Classify);
    registry.add_kind(Race);
    registry.add_kind(BatchRegression);
    registry.add_kind(EnergyModels);
    registry.add_kind(Language);
    registry.add_kind(NewtonRace);
    registry.add_kind(Prune);
    registry.add_kind(StochasticConvex);
    registry.add_kind(SurrogateRace);
    registry.add_kind(Tabular);
    registry.add_kind(TrainingRace);
    registry.add_kind(Unlearn);
    let recipes = RECIPES
        .into_iter()
        .chain(batch_regression::BATCH_RECIPES)
        .chain(clipping::CLIPPING_RECIPES)
        .chain(energy::ENERGY_RECIPES)
        .chain(newton::NEWTON_RECIPES)
        .chain(prune::MFAC_RECIPES)
        .chain(surrogate::SURROGATE_RECIPES)
        .chain(unlearn::UNLEARN_RECIPES)
        .chain([stochastic_convex::LAST_ITERATE_RECIPE, training_race::TRAINING_RACE_RECIPE]);
    for recipe in recipes {
        registry.add_recipe(recipe);
    }
    let methods = METHODS.into_iter().chain([
        batch_regression::BATCH_METHOD,
        clipping::CLIPPING_METHOD,
        energy::ENERGY_METHOD,
        newton::NEWTON_METHOD,
        prune::MFAC_METHOD,
        stochastic_convex::LAST_ITERATE_METHOD,
        surrogate::SURROGATE_METHOD,
        unlearn::UNLEARN_METHOD,
    ]);
    for method in methods {
        registry.add_method(method);
    }
}

const RECIPES: [RecipeEntry; 3] = [
    recipe!(
        "sharpness-digits",
        "SGD against SAM on digits with noisy labels: accuracy and sharpness"
    ),
    recipe!("optimizers-digits", "Eight training optimizers on one network"),
    recipe!(
        "minimizers",
        "Gradient descent, L-BFGS and Newton-CG race to the optimum of known functions"
    ),
];

const METHODS: [Method; 10] = [
    Method {
        slug: "sam",
        title: "Sharpness-aware minimization (SAM, ASAM)",
        paper: "Sharpness-Aware Minimization for Efficiently Improving Generalization",
        arxiv: Some("2010.01412"),
        authors: "Pierre Foret, Ariel Kleiner, Hossein Mobahi, Behnam Neyshabur",
        year: 2021,
        field: "training",
        summary: "Trains towards flat minima: the gradient is taken at the worst point of a small ball",
        recipes: &["sharpness-digits", "optimizers-digits"],
        bibtex: "@inproceedings{foret2021sam,\n  title = {Sharpness-Aware Minimization for Efficiently Improving Generalization},\n  author = {Foret, Pierre and Kleiner, Ariel and Mobahi, Hossein and Neyshabur, Behnam},\n  booktitle = {International Conference on Learning Representations},\n  year = {2021}\n}",
    },
    Method {
        slug: "sgd",
        title: "Stochastic gradient descent with momentum",
        paper: "Some methods of speeding up the convergence of iteration methods",
        arxiv: None,
        authors: "Boris T. Polyak",
        year: 1964,
        field: "training",
        summary: "The baseline of training: gradient steps with momentum, Nesterov's variant, weight decay",
        recipes: &["sharpness-digits", "optimizers-digits"],
        bibtex: "@article{polyak1964momentum,\n  title = {Some methods of speeding up the convergence of iteration methods},\n  author = {Polyak, Boris T.},\n  journal = {USSR Computational Mathematics and Mathematical Physics},\n  volume = {4}, number = {5}, pages = {1--17},\n  year = {1964}\n}",
    },
    Method {
        slug: "adam",
        title: "Adam",
        paper: "Adam: A Method for Stochastic Optimization",
        arxiv: Some("1412.6980"),
        authors: "Diederik P. Kingma, Jimmy Ba",
        year: 2015,
        field: "training",
        summary: "Steps scaled by running moments of the gradient",
        recipes: &["optimizers-digits"],
        bibtex: "@inproceedings{kingma2015adam,\n  title = {Adam: A Method for Stochastic Optimization},\n  author = {Kingma, Diederik P. and Ba, Jimmy},\n  booktitle = {International Conference on Learning Representations},\n  year = {2015}\n}",
    },
    Method {
        slug: "adamw",
        title: "AdamW",
        paper: "Decoupled Weight Decay Regularization",
        arxiv: Some("1711.05101"),
        authors: "Ilya Loshchilov, Frank Hutter",
        year: 2019,
        field: "training",
        summary: "Adam whose weight decay bypasses the moments",
        recipes: &["optimizers-digits"],
        bibtex: "@inproceedings{loshchilov2019adamw,\n  title = {Decoupled Weight Decay Regularization},\n  author = {Loshchilov, Ilya and Hutter, Frank},\n  booktitle = {International Conference on Learning Representations},\n  year = {2019}\n}",
    },
    Method {
        slug: "rmsprop",
        title: "RMSProp",
        paper: "Lecture 6.5: Divide the gradient by a running average of its recent magnitude",
        arxiv: None,
        authors: "Tijmen Tieleman, Geoffrey Hinton",
        year: 2012,
        field: "training",
        summary: "Steps scaled by the running root mean square of the gradient",
        recipes: &["optimizers-digits"],
        bibtex: "@misc{tieleman2012rmsprop,\n  title = {Lecture 6.5: Divide the gradient by a running average of its recent magnitude},\n  author = {Tieleman, Tijmen and Hinton, Geoffrey},\n  howpublished = {COURSERA: Neural Networks for Machine Learning},\n  year = {2012}\n}",
    },
    Method {
        slug: "adagrad",
        title: "AdaGrad",
        paper: "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization",
        arxiv: None,
        authors: "John Duchi, Elad Hazan, Yoram Singer",
        year: 2011,
        field: "training",
        summary: "Steps scaled by the root of all squared gradients so far, by coordinate",
        recipes: &["optimizers-digits"],
        bibtex: "@article{duchi2011adagrad,\n  title = {Adaptive Subgradient Methods for Online Learning and Stochastic Optimization},\n  author = {Duchi, John and Hazan, Elad and Singer, Yoram},\n  journal = {Journal of Machine Learning Research},\n  volume = {12}, pages = {2121--2159},\n  year = {2011}\n}",
    },
    Method {
        slug: "adagrad-norm",
        title: "AdaGrad-Norm",
        paper: "AdaGrad Stepsizes: Sharp Convergence over Nonconvex Landscapes",
        arxiv: Some("1806.01811"),
        authors: "Rachel Ward, Xiaoxia Wu, Leon Bottou",
        year: 2019,
        field: "training",
        summary: "AdaGrad with one step size for all coordinates",
        recipes: &["optimizers-digits"],
        bibtex: "@inproceedings{ward2019adagradnorm,\n  title = {AdaGrad Stepsizes: Sharp Convergence over Nonconvex Landscapes},\n  author = {Ward, Rachel and Wu, Xiaoxia and Bottou, Leon},\n  booktitle = {International Conference on Machine Learning},\n  year = {2019}\n}",
    },
    Method {
        slug: "gradient-descent",
        title: "Gradient descent with Barzilai-Borwein steps",
        paper: "Two-Point Step Size Gradient Methods",
        arxiv: None,
        authors: "Jonathan Barzilai, Jonathan M. Borwein",
        year: 1988,
        field: "minimization",
        summary: "Steepest descent with a secant step length and a projected line search",
        recipes: &["minimizers"],
        bibtex: "@article{barzilai1988twopoint,\n  title = {Two-Point Step Size Gradient Methods},\n  author = {Barzilai, Jonathan and Borwein, Jonathan M.},\n  journal = {IMA Journal of Numerical Analysis},\n  volume = {8}, number = {1}, pages = {141--148},\n  year = {1988}\n}",
    },
    Method {
        slug: "lbfgs",
        title: "Limited-memory BFGS",
        paper: "On the limited memory BFGS method for large scale optimization",
        arxiv: None,
        authors: "Dong C. Liu, Jorge Nocedal",
        year: 1989,
        field: "minimization",
        summary: "Quasi-Newton directions from the last few steps, strong Wolfe line search, bounds by projection",
        recipes: &["minimizers"],
        bibtex: "@article{liu1989lbfgs,\n  title = {On the limited memory {BFGS} method for large scale optimization},\n  author = {Liu, Dong C. and Nocedal, Jorge},\n  journal = {Mathematical Programming},\n  volume = {45}, pages = {503--528},\n  year = {1989}\n}",
    },
    Method {
        slug: "newton-cg",
        title: "Newton-CG in a trust region",
        paper: "The Conjugate Gradient Method and Trust Regions in Large Scale Optimization",
        arxiv: None,
        authors: "Trond Steihaug",
        year: 1983,
        field: "minimization",
        summary: "Newton's method with exact Hessian-vector products and conjugate gradients, no Hessian formed",
        recipes: &["minimizers"],
        bibtex: "@article{steihaug1983conjugate,\n  title = {The Conjugate Gradient Method and Trust Regions in Large Scale Optimization},\n  author = {Steihaug, Trond},\n  journal = {SIAM Journal on Numerical Analysis},\n  volume = {20}, number = {3}, pages = {626--637},\n  year = {1983}\n}",
    },
];
