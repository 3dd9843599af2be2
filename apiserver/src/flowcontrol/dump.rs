//! What the debug endpoints show of priority levels and their queues.
//! Source: Kubernetes doc "API Priority and Fairness", debug endpoints; `k8s.io/apiserver/pkg/util/flowcontrol`
//! (`dump_priority_levels`, `dump_queues`) and what Go's `text/tabwriter` makes of it.

/// What a queue holds now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queue {
    pub(super) waiting: usize,
    pub(super) executing: usize,
    /// The seats that are taken, and those that are waited for.
    pub(super) seats: u64,
    pub(super) wanted: u64,
    /// When, in virtual time, its next request begins.
    pub(super) start: f64,
    /// How long those that wait are thought to take, in seconds of seats.
    pub(super) work: f64,
}

/// What a priority level holds now.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    pub(super) name: String,
    /// Nothing is known of a level that lets everybody in.
    pub(super) exempt: bool,
    pub(super) executing: usize,
    pub(super) queues: Vec<Queue>,
}

/// What became of the requests of a level so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) dispatched: u64,
    pub(crate) rejected: u64,
    pub(crate) timed_out: u64,
}

const LEVELS: [&str; 10] = [
    "PriorityLevelName",
    "ActiveQueues",
    "IsIdle",
    "IsQuiescing",
    "WaitingRequests",
    "ExecutingRequests",
    "DispatchedRequests",
    "RejectedRequests",
    "TimedoutRequests",
    "CancelledRequests",
];
const QUEUES: [&str; 9] = [
    "PriorityLevelName",
    "Index",
    "PendingRequests",
    "ExecutingRequests",
    "SeatsInUse",
    "NextDispatchR",
    "InitialSeatsSum",
    "MaxSeatsSum",
    "TotalWorkSum",
];

/// The levels, with what became of their requests.
pub(super) fn levels(levels: &[Level], past: impl Fn(&str) -> Past) -> String {
    let row = |level: &Level| {
        let active = level.queues.iter().filter(|queue| queue.waiting + queue.executing > 0).count();
        let waiting: usize = level.queues.iter().map(|queue| queue.waiting).sum();
        let idle = waiting + level.executing == 0;
        let past = past(&level.name);
        let (active, waiting, executing) = (active.to_string(), waiting.to_string(), level.executing.to_string());
        let known = [active, idle.to_string(), "false".to_owned(), waiting, executing];
        let known = if level.exempt { std::array::from_fn(|_| "<none>".to_owned()) } else { known };
        // Who gave up is not told apart from who was served.
        let counts = [past.dispatched, past.rejected, past.timed_out, 0].map(|count| count.to_string());
        [level.name.clone()].into_iter().chain(known).chain(counts).collect()
    };
    table(&LEVELS, levels.iter().map(row))
}

/// The queues of all levels that have some.
pub(super) fn queues(levels: &[Level]) -> String {
    let rows = levels.iter().flat_map(|level| level.queues.iter().enumerate().map(move |it| (level, it)));
    let rows = rows.map(|(level, (index, queue))| {
        vec![
            level.name.clone(),
            index.to_string(),
            queue.waiting.to_string(),
            queue.executing.to_string(),
            queue.seats.to_string(),
            format!("{:.8}ss", queue.start),
            queue.wanted.to_string(),
            queue.wanted.to_string(),
            format!("{:.8}ss", queue.work),
        ]
    });
    table(&QUEUES, rows)
}

/// Rows whose cells are separated by commas and stand below each other.
fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    const NARROWEST: usize = 8;
    let header = header.iter().map(|&name| name.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len() + 2).max().unwrap_or_default().max(NARROWEST);
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            match column + 1 == row.len() {
                true => text = text + cell + "\n",
                false => text += &format!("{:<1$}", format!("{cell},"), width(column)),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_queues_stand_in_columns() {
        let queue = Queue { waiting: 2, executing: 1, seats: 1, wanted: 3, start: 0.5, work: 0.009 };
        let all = [
            Level { name: "exempt".to_owned(), exempt: true, ..Level::default() },
            Level { name: "few".to_owned(), executing: 1, queues: vec![Queue::default(), queue], ..Level::default() },
        ];
        let past = |name: &str| Past { dispatched: name.len() as u64, ..Past::default() };
        let shown = levels(&all, past);
        let expect = "PriorityLevelName, ActiveQueues, IsIdle, IsQuiescing, WaitingRequests, ExecutingRequests, \
                      DispatchedRequests, RejectedRequests, TimedoutRequests, CancelledRequests\n\
                      exempt,            <none>,       <none>, <none>,      <none>,          <none>,            \
                      6,                  0,                0,                0\n\
                      few,               1,            false,  false,       2,               1,                 \
                      3,                  0,                0,                0\n";
        assert_eq!(shown, expect);
        let expect = "PriorityLevelName, Index,  PendingRequests, ExecutingRequests, SeatsInUse, NextDispatchR, \
                      InitialSeatsSum, MaxSeatsSum, TotalWorkSum\n\
                      few,               0,      0,               0,                 0,          0.00000000ss,  \
                      0,               0,           0.00000000ss\n\
                      few,               1,      2,               1,                 1,          0.50000000ss,  \
                      3,               3,           0.00900000ss\n";
        assert_eq!(queues(&all), expect);
    }
}
