//! A plugin that answers what it is told to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::*;
use crate::plugin::{
    BindPlugin, FilterPlugin, PostBindPlugin, PostFilterContext, PostFilterPlugin, PostFilterResult, PreEnqueuePlugin,
    PreFilterPlugin, PreFilterResult, PreScorePlugin, ScorePlugin, Scored,
};
use crate::snapshot::{NodeRef, Row, Snapshot};

/// What was asked, of whom, in order.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(super) fn put(&self, line: String) {
        self.0.lock().push(line);
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    pub(super) fn count(&self, start: &str) -> usize {
        self.0.lock().iter().filter(|line| line.starts_with(start)).count()
    }
}

/// A plugin that takes part where it was given answers; the last answer of each point is for all further questions.
pub(super) struct Scripted {
    pub(super) name: &'static str,
    log: Log,
    answers: Mutex<BTreeMap<Point, VecDeque<Status>>>,
    points: BTreeSet<Point>,
    events: Vec<ClusterEvent>,
    /// The nodes that PreFilter leaves.
    pub(super) nodes: Option<BTreeSet<String>>,
    /// The scores of nodes; 0 for others.
    pub(super) scores: BTreeMap<&'static str, i64>,
    /// How long Permit holds pods.
    pub(super) wait: Duration,
    /// Whether PreBind has anything to do.
    pub(super) acts: bool,
    /// How long PreBind takes.
    pub(super) lingers: Duration,
    /// Which pods it looks at; all, if it is empty.
    pub(super) only: &'static str,
}

impl Scripted {
    pub(super) fn new(name: &'static str, log: &Log) -> Self {
        Self {
            name,
            log: log.clone(),
            answers: Mutex::default(),
            points: BTreeSet::new(),
            events: vec![ClusterEvent::ANY],
            nodes: None,
            scores: BTreeMap::new(),
            wait: Duration::from_secs(30),
            acts: true,
            lingers: Duration::ZERO,
            only: "",
        }
    }

    pub(super) fn at<const N: usize>(mut self, point: Point, answers: [Status; N]) -> Self {
        self.points.insert(point);
        self.answers.lock().insert(point, VecDeque::from(answers));
        self
    }

    pub(super) fn told(mut self, events: Vec<ClusterEvent>) -> Self {
        self.events = events;
        self
    }

    fn answer(&self, point: Point, pod: &Pod) -> Status {
        if !pod.name.starts_with(self.only) {
            return Status::success();
        }
        self.log.put(format!("{point:?} {}", self.name));
        let mut answers = self.answers.lock();
        match answers.get_mut(&point) {
            Some(answers) if answers.len() > 1 => answers.pop_front().unwrap(),
            Some(answers) => answers.front().cloned().unwrap_or_else(Status::success),
            None => Status::success(),
        }
    }
}

macro_rules! takes_part {
    ($($method:ident: $point:ident as $plugin:ident),*) => {$(
        fn $method(&self) -> Option<&dyn $plugin> {
            self.points.contains(&Point::$point).then_some(self)
        }
    )*};
}

impl Plugin for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        self.events.clone()
    }

    takes_part! {
        as_pre_enqueue: PreEnqueue as PreEnqueuePlugin,
        as_pre_filter: PreFilter as PreFilterPlugin,
        as_filter: Filter as FilterPlugin,
        as_post_filter: PostFilter as PostFilterPlugin,
        as_pre_score: PreScore as PreScorePlugin,
        as_score: Score as ScorePlugin,
        as_reserve: Reserve as ReservePlugin,
        as_permit: Permit as PermitPlugin,
        as_pre_bind: PreBind as PreBindPlugin,
        as_bind: Bind as BindPlugin,
        as_post_bind: PostBind as PostBindPlugin
    }
}

impl PreEnqueuePlugin for Scripted {
    fn pre_enqueue(&self, pod: &Pod) -> Status {
        self.answer(Point::PreEnqueue, pod)
    }
}

impl PreFilterPlugin for Scripted {
    fn pre_filter(&self, _: &mut CycleState, pod: &Pod, _: &Snapshot) -> Result<PreFilterResult, Status> {
        let status = self.answer(Point::PreFilter, pod);
        if status.is_success() { Ok(PreFilterResult { node_names: self.nodes.clone() }) } else { Err(status) }
    }
}

impl FilterPlugin for Scripted {
    fn filter(&self, _: &CycleState, pod: &Pod, _: NodeRef<'_>) -> Status {
        self.answer(Point::Filter, pod)
    }
}

impl PostFilterPlugin for Scripted {
    fn post_filter(&self, _: &mut CycleState, pod: &Pod, _: &mut PostFilterContext<'_>) -> (PostFilterResult, Status) {
        (PostFilterResult::default(), self.answer(Point::PostFilter, pod))
    }
}

impl PreScorePlugin for Scripted {
    fn pre_score(&self, _: &mut CycleState, pod: &Pod, _: &Snapshot, _: &[Row]) -> Status {
        self.answer(Point::PreScore, pod)
    }
}

impl ScorePlugin for Scripted {
    fn score(&self, _: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Result<i64, Status> {
        let status = self.answer(Point::Score, pod);
        let score = self.scores.get(node.name().as_ref()).copied().unwrap_or_default();
        if status.is_success() { Ok(score) } else { Err(status) }
    }

    fn normalize_score(&self, _: &CycleState, _: &Pod, nodes: Scored<'_>, scores: &mut [i64]) -> Result<(), Status> {
        self.log.put(format!("Normalize {} {}", self.name, nodes.rows.len()));
        // Upside down, to see that it counts.
        scores.iter_mut().for_each(|score| *score = 100 - *score);
        Ok(())
    }
}

impl ReservePlugin for Scripted {
    fn reserve(&self, _: &mut CycleState, pod: &Pod, _: &str) -> Status {
        self.answer(Point::Reserve, pod)
    }

    fn unreserve(&self, _: &mut CycleState, _: &Pod, _: &str) {
        self.log.put(format!("Unreserve {}", self.name));
    }
}

impl PermitPlugin for Scripted {
    fn permit(&self, _: &mut CycleState, pod: &Pod, _: &str) -> (Status, Duration) {
        (self.answer(Point::Permit, pod), self.wait)
    }
}

impl PreBindPlugin for Scripted {
    fn will_act(&self, _: &Binding) -> bool {
        self.acts
    }

    fn pre_bind<'a>(&'a self, binding: &'a Binding) -> BoxFuture<'a, Status> {
        Box::pin(async {
            let status = self.answer(Point::PreBind, &binding.pod);
            if !self.lingers.is_zero() && (self.only.is_empty() || self.only == &*binding.pod.name) {
                tokio::time::sleep(self.lingers).await;
            }
            status
        })
    }
}

impl BindPlugin for Scripted {
    fn bind<'a>(&'a self, binding: &'a Binding) -> BoxFuture<'a, Status> {
        Box::pin(async { self.answer(Point::Bind, &binding.pod) })
    }
}

impl PostBindPlugin for Scripted {
    fn post_bind<'a>(&'a self, binding: &'a Binding) -> BoxFuture<'a, ()> {
        Box::pin(async {
            self.answer(Point::PostBind, &binding.pod);
        })
    }
}
