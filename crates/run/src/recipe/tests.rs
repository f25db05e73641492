use serde::{Deserialize, Serialize};

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Config {
    #[serde(default)]
    train: Train,
    method: Method,
    #[serde(default)]
    layers: Vec<usize>,
    #[serde(default)]
    schedule: Schedule,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Train {
    epochs: u64,
    clip: Option<f64>,
    shuffle: bool,
}

impl Default for Train {
    fn default() -> Self {
        Train { epochs: 3, clip: None, shuffle: true }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
enum Method {
    Sgd { rate: f64, #[serde(default)] momentum: f64 },
    Sam { rate: f64, rho: f64, #[serde(default)] steps: Option<u32> },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Schedule {
    #[default]
    Constant,
    Cosine { warmup: u64 },
}

const TEXT: &str = r#"kind = "classify"
title = "Two arms"
seed = 7
claims = ["sam.accuracy >= sgd.accuracy"]

[train]
epochs = 10

[method]
rate = 0.1

[arms.sgd]
method.name = "sgd"

[arms.sam]
method.name = "sam"
method.rho = 0.05

[quick]
train.epochs = 1
arms.sam.method.rho = 0.1
"#;

fn parse(text: &str, overrides: &Overrides) -> Result<(Recipe, Vec<Arm<Config>>), Error> {
    let recipe = Recipe::parse("two.toml", "two", text, overrides)?;
    let arms = recipe.configs()?;
    Ok((recipe, arms))
}

fn set(settings: &[&str]) -> Overrides {
    Overrides { set: settings.iter().map(|&s| s.to_owned()).collect(), ..Overrides::default() }
}

fn problem(text: &str) -> String {
    parse(text, &Overrides::default()).unwrap_err().to_string()
}

fn set_problem(setting: &str) -> String {
    parse(TEXT, &set(&[setting])).unwrap_err().to_string()
}

/// A recipe with one arm whose method is `sam`.
fn single(rest: &str) -> String {
    format!("kind = \"classify\"\n{rest}\n[method]\nname = \"sam\"\nrate = 0.1\nrho = 0.05\n")
}

#[test]
fn arms_lie_over_the_shared_part() {
    let (recipe, arms) = parse(TEXT, &Overrides::default()).unwrap();
    assert_eq!(recipe.head().name, "two");
    assert_eq!(recipe.head().seed, 7);
    assert_eq!(recipe.arm_names().collect::<Vec<_>>(), ["sgd", "sam"]);
    assert_eq!(arms[0].config.method, Method::Sgd { rate: 0.1, momentum: 0.0 });
    assert_eq!(arms[1].config.method, Method::Sam { rate: 0.1, rho: 0.05, steps: None });
    assert_eq!(arms[1].config.train, Train { epochs: 10, ..Train::default() });
}

#[test]
fn quick_then_options_lie_over_all() {
    let overrides = Overrides {
        quick: true,
        seed: Some(3),
        device: Some(Device::Cpu),
        set: vec!["train.clip=1e-2".into(), "arms.sam.method.steps=2".into(), "schedule={cosine={warmup=5}}".into()],
    };
    let (recipe, arms) = parse(TEXT, &overrides).unwrap();
    assert!(recipe.head().quick);
    assert_eq!(recipe.head().seed, 3);
    assert_eq!(arms[0].config.train, Train { epochs: 1, clip: Some(0.01), shuffle: true });
    assert_eq!(arms[1].config.method, Method::Sam { rate: 0.1, rho: 0.1, steps: Some(2) });
    assert_eq!(arms[1].config.schedule, Schedule::Cosine { warmup: 5 });
}

#[test]
fn a_resolved_recipe_reads_as_itself() {
    let overrides = Overrides { quick: true, set: vec!["schedule={cosine={warmup=5}}".into()], ..Overrides::default() };
    let (recipe, arms) = parse(TEXT, &overrides).unwrap();
    let text = resolved_text(recipe.head(), &arms).unwrap();
    let (again, arms_again) = parse(&text, &Overrides::default()).unwrap();
    assert_eq!(again.head(), recipe.head(), "{text}");
    assert_eq!(arms_again, arms, "{text}");
    assert_eq!(resolved_text(again.head(), &arms_again).unwrap(), text);
    // Defaults are written out, shared values stand once.
    assert!(text.contains("shuffle = true"), "{text}");
    assert_eq!(text.matches("rate = ").count(), 1, "{text}");
    assert!(text.find("[arms.sgd").unwrap() < text.find("[arms.sam").unwrap(), "{text}");
}

#[test]
fn unknown_keys_name_line_and_nearest() {
    assert_eq!(
        problem(&single("[train]\nepoch = 3")),
        "two.toml:3: train.epoch: there is no such key; did you mean `epochs`? Valid names: epochs, clip, shuffle"
    );
    let error = problem(&single("sed = 3"));
    assert!(error.starts_with("two.toml:2: sed: there is no such key; did you mean `seed`?"), "{error}");
    // Inside an enum chosen by its name, and in an arm.
    let error = problem(&TEXT.replace("method.rho", "method.roh"));
    assert!(error.starts_with("two.toml:17: in arm `sam`: method.roh: there is no such key; did you mean `rho`?"), "{error}");
    let error = problem(&single("[run]\ncheckpoint_sec = 3"));
    assert!(error.starts_with("two.toml:3: run.checkpoint_sec: there is no such key; did you mean `checkpoint_secs`?"), "{error}");
}

#[test]
fn wrong_types_name_key_expected_and_found() {
    assert_eq!(
        problem(&TEXT.replace("method.rho = 0.05", "method.rho = \"big\"")),
        "two.toml:17: in arm `sam`: method.rho: expected a number, found the string \"big\""
    );
    assert_eq!(
        problem(&single("[train]\nepochs = -3")),
        "two.toml:3: train.epochs: expected a whole number, 0 or more, found the number -3"
    );
    assert_eq!(problem(&single("train = 3")), "two.toml:2: train: expected a table, found the number 3");
    assert_eq!(problem(&single("layers = [1, \"x\"]")), "two.toml:2: layers.1: expected a whole number, 0 or more, found the string \"x\"");
    assert_eq!(problem(&single("seed = 1.5")), "two.toml:2: seed: expected a whole number, 0 or more, found the number 1.5");
    assert_eq!(problem(&single("train.shuffle = \"yes\"")), "two.toml:2: train.shuffle: expected true or false, found the string \"yes\"");
    let error = problem(&single("schedule = { cosine = { warmup = true } }"));
    assert_eq!(error, "two.toml:2: schedule.cosine.warmup: expected a whole number, 0 or more, found true");
}

#[test]
fn wrong_choices_and_missing_keys() {
    let error = problem(&TEXT.replace("\"sam\"\nmethod", "\"samm\"\nmethod"));
    assert_eq!(error, "two.toml:16: in arm `sam`: method.name: \"samm\" is not a valid choice; did you mean `sam`? Valid names: sgd, sam");
    let error = problem("kind = \"classify\"\n[method]\nname = \"sam\"\nrate = 1.0");
    assert_eq!(error, "two.toml:2: method.rho: this key is missing and has no default");
    assert_eq!(problem("seed = 1\n[method]\nname = \"sgd\"\nrate = 1"), "two.toml:1: kind: this key is missing and has no default");
    assert!(problem(&single("schedule = \"cosin\"")).contains("schedule: \"cosin\" is not a valid choice; did you mean `cosine`?"));
}

#[test]
fn text_that_is_not_toml_names_its_line() {
    let error = problem("kind = \"x\"\nseed = = 3\n");
    assert!(error.starts_with("two.toml:2: this is not TOML: "), "{error}");
    assert!(problem(&single("seed = 99999999999999999999")).contains("does not fit in 64 bits"));
    assert!(problem(&single("seed = 1\nseed = 2")).starts_with("two.toml:3: this is not TOML: "));
}

#[test]
fn heads_are_checked() {
    let error = problem(&single("device = \"gpu\""));
    assert_eq!(error, "two.toml:2: device: no device `gpu`: expected `cpu`, `cuda:N` or `wgpu:N`");
    let error = problem(&single("claims = [\"a >\"]"));
    assert!(error.starts_with("two.toml:2: claims: claim `a >`: expected a number or a figure"), "{error}");
    let error = problem(&single("run.max_secs = -1"));
    assert_eq!(error, "two.toml:2: run: run.max_secs: expected a number above 0, found the number -1");
    assert_eq!(problem(&single("arms = 3")), "two.toml:2: arms: expected a table, found the number 3");
    let error = problem(&format!("{}[arms.a]\nseed = 3", single("")));
    assert_eq!(error, "two.toml:8: arms.a: `seed` is the same for all arms; set it at the top of the recipe");
    assert!(problem(&format!("{}[arms.\"a b\"]", single(""))).contains("letters, digits, _ and - only"));
    assert_eq!(problem(&single("quick = 3")), "two.toml:2: quick: expected a table, found the number 3");
}

#[test]
fn settings_are_checked_like_the_file() {
    assert_eq!(
        set_problem("train.epoch=3"),
        "--set train.epoch=3: in arm `sgd`: train.epoch: there is no such key; did you mean `epochs`? Valid names: epochs, clip, shuffle"
    );
    assert_eq!(
        set_problem("arms.sam.method.rho=big"),
        "--set arms.sam.method.rho=big: in arm `sam`: method.rho: expected a number, found the string \"big\""
    );
    assert_eq!(set_problem("rho"), "--set rho: expected KEY=VALUE, such as `method.rho=0.1`");
    assert_eq!(set_problem("a..b=1"), "--set a..b=1: expected KEY=VALUE, such as `method.rho=0.1`");
    assert_eq!(
        set_problem("method.name=sam"),
        "--set method.name=sam: method.name: every arm sets this itself; set arms.sgd.method.name or arms.sam.method.name"
    );
    assert_eq!(set_problem("arms.sma.method.rho=1"), "--set arms.sma.method.rho=1: arms.sma.method.rho: there is no arm `sma`; did you mean `sam`? Valid names: sgd, sam");
    assert_eq!(set_problem("train.epochs.x=1"), "--set train.epochs.x=1: train.epochs.x: `train.epochs` is neither a table nor a list with that item");
}

#[test]
fn settings_reach_into_lists() {
    let text = single("layers = [8, 16]");
    let (_, arms) = parse(&text, &set(&["layers.1=32"])).unwrap();
    assert_eq!(arms[0].config.layers, [8, 32]);
    assert!(parse(&text, &set(&["layers.7=32"])).is_err());
}

#[test]
fn rejected_values_say_where_they_were_written() {
    let (recipe, _) = parse(TEXT, &Overrides::default()).unwrap();
    let error = recipe.reject("sam", &Invalid::new("method.rho", "a number above 1")).to_string();
    assert_eq!(error, "two.toml:17: in arm `sam`: method.rho: expected a number above 1, found the number 0.05");
    let error = recipe.reject("sam", &Invalid::new("train.clip", "a limit")).to_string();
    assert_eq!(error, "two.toml: in arm `sam`: train.clip: expected a limit");
}

#[test]
fn a_file_that_is_missing_is_named() {
    let error = Recipe::read(Path::new("no/such.toml"), &Overrides::default()).unwrap_err().to_string();
    assert!(error.starts_with("no/such.toml: could not read: "), "{error}");
}
