//! For the tests of recipes: a run that is interrupted and goes on.

use lisse_run::{
    Interrupt, Observer, Registry, Request, Session, StepView, Stop, Summary, launch, resume,
};

/// Asks to stop after some steps.
struct Cut(u64, Interrupt);

impl Observer for Cut {
    fn step(&mut self, _: StepView<'_>) {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 {
            self.1.request();
        }
    }
}

/// How a run ends that was interrupted after `steps` steps and then resumed. The request names its folder.
pub(crate) fn interrupted_and_resumed(
    registry: &Registry,
    request: &Request,
    steps: u64,
) -> Summary {
    let interrupt = Interrupt::manual();
    let observer = Box::new(Cut(steps, interrupt.clone()));
    let session = Session { observer, interrupt, ..Session::quiet() };
    let first = launch(registry, request, session).unwrap().summary;
    assert!(!first.finished);
    assert_eq!(first.stop, Stop::Interrupted);
    let out = request.out.as_deref().expect("the request names a folder");
    resume(registry, out, Session::quiet()).unwrap().summary
}
