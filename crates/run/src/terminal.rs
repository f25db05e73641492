//! Progress on standard error.

use std::fmt;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::{ArmView, Observer, Plan, StepView, Stop, Summary, number};

/// How often the line is drawn on a terminal.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);
/// Metrics that fit beside the bar.
const SHOWN: usize = 3;

/// Shows progress on standard error: a bar with rate, time left and the first metrics on a terminal; elsewhere a plain line now
/// and then. Colours are left out under `NO_COLOR`.
pub struct Terminal {
    bar: Option<ProgressBar>,
    live: bool,
    colour: bool,
    /// The arm, with its number.
    arm: String,
    /// What stands before the bar: the arm, or a part of its work.
    label: String,
    started: Instant,
    first_step: u64,
    total: Option<u64>,
    last: Instant,
    phase: Option<(String, Option<u64>)>,
}

impl Default for Terminal {
    fn default() -> Terminal {
        Terminal::new()
    }
}

impl Terminal {
    /// Looks at standard error and the environment.
    pub fn new() -> Terminal {
        let live = std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let colour = live && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let now = Instant::now();
        Terminal {
            bar: None,
            live,
            colour,
            arm: String::new(),
            label: String::new(),
            started: now,
            first_step: 0,
            total: None,
            last: now,
            phase: None,
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) if self.live => bar.println(text),
            // A closed standard error is no reason to fail.
            _ => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }

    fn bold(&self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn start_bar(&mut self, total: Option<u64>, position: u64) {
        self.clear();
        if !self.live {
            return;
        }
        let (green, dim) = if self.colour { (".green", ":.dim") } else { ("", "") };
        let template = match total {
            Some(_) => format!(
                "{{prefix}} {{bar:24{green}}} {{pos}}/{{len}} {{rate}} left {{eta{dim}}}  {{msg}}"
            ),
            None => {
                format!("{{prefix}} {{spinner:{green}}} {{pos}} {{rate}} {{elapsed{dim}}}  {{msg}}")
            }
        };
        let target = ProgressDrawTarget::stderr_with_hz((1000 / DRAW_EVERY.as_millis()) as u8);
        let bar = ProgressBar::with_draw_target(total, target)
            .with_prefix(self.label.clone())
            .with_position(position);
        if let Ok(style) = ProgressStyle::with_template(&template) {
            let style =
                style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
                    // Best effort: a bar that cannot be drawn is no reason to stop.
                    let _ = write!(out, "{}/s", number::human(state.per_sec()));
                });
            bar.set_style(style.progress_chars("━╸─"));
        }
        // Steps done before a resume say nothing about the rate now.
        bar.reset_eta();
        self.bar = Some(bar);
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn plain_step(&self, step: &StepView<'_>) {
        let done = step.step.saturating_sub(self.first_step);
        let rate = done as f64 / self.started.elapsed().as_secs_f64();
        let of = self.total.map(|total| format!("/{total}")).unwrap_or_default();
        let left = self
            .total
            .filter(|_| rate > 0.0)
            .map(|total| format!(", {} left", time(total.saturating_sub(step.step) as f64 / rate)));
        let left = left.unwrap_or_default();
        self.line(&format!(
            "{}step {}{of}, {} steps/s{left}  {}",
            prefix(&self.label),
            step.step,
            number::human(rate),
            shown(step)
        ));
    }
}

fn prefix(label: &str) -> String {
    if label.is_empty() { String::new() } else { format!("{label}: ") }
}

fn shown(step: &StepView<'_>) -> String {
    let parts: Vec<String> = step
        .metrics
        .iter()
        .take(SHOWN)
        .map(|(name, value)| format!("{name} {}", number::human(value.0)))
        .collect();
    parts.join("  ")
}

/// Seconds as a person says them.
pub(crate) fn time(secs: f64) -> String {
    match secs {
        s if s < 0.095 => format!("{:.0} ms", s * 1e3),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{} min {} s", (s / 60.0) as u64, s as u64 % 60),
        s => format!("{} h {} min", (s / 3600.0) as u64, (s / 60.0) as u64 % 60),
    }
}

impl Observer for Terminal {
    fn started(&mut self, plan: &Plan) {
        let verb = if plan.resumed { "Resuming" } else { "Running" };
        let place = plan
            .folder
            .as_ref()
            .map(|folder| format!(" in {}", folder.display()))
            .unwrap_or_default();
        self.line(&format!("{verb} {}{place}", self.bold(&plan.title)));
    }

    fn arm(&mut self, arm: ArmView<'_>) {
        self.arm = if arm.count > 1 {
            format!("{} ({}/{})", arm.name, arm.index + 1, arm.count)
        } else {
            arm.name.to_owned()
        };
        self.label = self.arm.clone();
        self.started = Instant::now();
        self.last = self.started;
        self.first_step = arm.step;
        self.total = arm.total;
        self.phase = None;
        self.start_bar(arm.total, arm.step);
    }

    fn step(&mut self, step: StepView<'_>) {
        let every = if self.live { DRAW_EVERY } else { LINE_EVERY };
        if let Some(bar) = &self.bar {
            bar.set_position(step.step);
        }
        if self.last.elapsed() < every {
            return;
        }
        self.last = Instant::now();
        match &self.bar {
            Some(bar) if !step.metrics.is_empty() => bar.set_message(shown(&step)),
            Some(_) => {}
            None => self.plain_step(&step),
        }
    }

    fn stopped(&mut self, _: &str, stop: &Stop) {
        self.clear();
        let label = prefix(&self.label);
        self.line(&format!("{label}{stop} after {}", time(self.started.elapsed().as_secs_f64())));
    }

    fn phase(&mut self, name: &str, total: Option<u64>) {
        self.label = format!("{}{name}", prefix(&self.arm));
        self.phase = Some((name.to_owned(), total));
        self.last = Instant::now();
        self.start_bar(total, 0);
        if !self.live {
            self.line(&self.label);
        }
    }

    fn tick(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if let Some((name, total)) =
            self.phase.as_ref().filter(|_| self.last.elapsed() >= LINE_EVERY)
        {
            let of = total.map(|total| format!("/{total}")).unwrap_or_default();
            self.line(&format!("{name}: {done}{of}"));
            self.last = Instant::now();
        }
    }

    fn note(&mut self, text: &str) {
        self.line(text);
    }

    fn finished(&mut self, summary: &Summary) {
        self.clear();
        self.line(&format!(
            "{} in {}. {}",
            self.bold(&summary.stop.to_string()),
            time(summary.wall_secs),
            summary.advice
        ));
    }
}
