//! Which node got which answer. Source: `pkg/scheduler/framework`, `NodeToStatus`.

use std::sync::Arc;

use crate::snapshot::Row;
use crate::status::Status;

/// Beyond this many different answers it is not looked whether a further one is known.
const COMPARED: usize = 64;
const NOTHING: u32 = 0;

/// The answers by row. Few are different, so each is kept once, with how many nodes got it; a copy shares all of it until one
/// of the two changes.
#[derive(Clone, Debug, Default)]
pub struct NodeToStatus(Arc<Answers>);

#[derive(Clone, Debug, Default)]
struct Answers {
    /// By row: one more than the place of the answer; 0 for none.
    of: Vec<u32>,
    answers: Vec<(Status, usize)>,
    len: usize,
}

impl Answers {
    fn take(&mut self, row: Row) -> bool {
        let Some(place) = self.of.get_mut(row as usize).filter(|place| **place != NOTHING) else { return false };
        self.answers[*place as usize - 1].1 -= 1;
        self.len -= 1;
        *place = NOTHING;
        true
    }

    /// One more than the place of an answer.
    fn place(&mut self, status: Status) -> u32 {
        let compared = self.answers.iter().take(COMPARED);
        let known = compared.clone().position(|(other, _)| *other == status);
        // One that nobody has any more is replaced, so that answers don't pile up.
        let place = known.or_else(|| self.answers.iter().position(|(_, count)| *count == 0)).unwrap_or_else(|| {
            self.answers.push((Status::success(), 0));
            self.answers.len() - 1
        });
        if known.is_none() {
            self.answers[place].0 = status;
        }
        u32::try_from(place + 1).expect("no more answers than nodes")
    }
}

/// Which answers are as somebody wants them.
#[derive(Debug, Default)]
pub(crate) struct Marks(Vec<bool>);

impl Marks {
    /// Whether a node's is.
    pub(crate) fn has(&self, answers: &NodeToStatus, row: Row) -> bool {
        self.0[answers.0.of.get(row as usize).copied().unwrap_or(NOTHING) as usize]
    }
}

impl NodeToStatus {
    /// What a node was told.
    pub fn get(&self, row: Row) -> Option<&Status> {
        let place = *self.0.of.get(row as usize)?;
        Some(&self.0.answers[place.checked_sub(1)? as usize].0)
    }

    /// How many nodes were told something.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// All of them, in the order of their rows.
    pub fn iter(&self) -> impl Iterator<Item = (Row, &Status)> {
        (0..).zip(&self.0.of).filter_map(|(row, _)| Some((row, self.get(row)?)))
    }

    /// The different answers, each with how many nodes got it. An answer may come more than once.
    pub fn counts(&self) -> impl Iterator<Item = (&Status, usize)> {
        self.0.answers.iter().filter(|(_, count)| *count > 0).map(|(status, count)| (status, *count))
    }

    /// Those of some nodes of which the answer is as wanted; `absent` is that of nodes without one.
    pub(crate) fn select(&self, rows: &[Row], absent: Option<&Status>, wanted: impl Fn(&Status) -> bool) -> Vec<Row> {
        let marks = self.marks(absent, wanted);
        rows.iter().copied().filter(|row| marks.has(self, *row)).collect()
    }

    /// Which answers are as wanted, so that this need not be asked for each node.
    pub(crate) fn marks(&self, absent: Option<&Status>, wanted: impl Fn(&Status) -> bool) -> Marks {
        let answers = self.0.answers.iter().map(|(status, _)| wanted(status));
        Marks(std::iter::once(absent.is_some_and(&wanted)).chain(answers).collect())
    }

    /// A node got an answer.
    pub fn insert(&mut self, row: Row, status: Status) {
        if self.get(row) == Some(&status) {
            return;
        }
        let answers = Arc::make_mut(&mut self.0);
        answers.take(row);
        if answers.of.len() <= row as usize {
            answers.of.resize(row as usize + 1, NOTHING);
        }
        let place = answers.place(status);
        answers.answers[place as usize - 1].1 += 1;
        answers.of[row as usize] = place;
        answers.len += 1;
    }

    /// A node has no answer any more.
    pub fn remove(&mut self, row: Row) {
        if self.get(row).is_some() {
            Arc::make_mut(&mut self.0).take(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_as_they_come_and_go() {
        let counts = |answers: &NodeToStatus| -> Vec<(String, usize)> {
            answers.counts().map(|(status, count)| (status.message(), count)).collect()
        };
        let mut answers = NodeToStatus::default();
        for row in [3, 1, 4] {
            answers.insert(row, Status::unschedulable("full"));
        }
        answers.insert(1, Status::unresolvable("gone"));
        let before = answers.clone();
        answers.remove(4);
        answers.remove(9);
        answers.insert(3, Status::unresolvable("gone"));
        assert_eq!(counts(&answers), [("gone".to_owned(), 2)]);
        assert_eq!((answers.len(), answers.get(4), answers.get(3).is_some()), (2, None, true));
        answers.insert(9, Status::unschedulable("full again"));
        assert_eq!(counts(&answers).len(), 2);
        assert_eq!(
            before.iter().map(|(row, status)| (row, status.message())).collect::<Vec<_>>(),
            [(1, "gone".to_owned()), (3, "full".to_owned()), (4, "full".to_owned())]
        );
    }

    #[test]
    fn any_number_of_different_answers_is_kept() {
        let mut answers = NodeToStatus::default();
        for row in 0..200 {
            answers.insert(row, Status::unschedulable(format!("no room on {row}")));
        }
        assert!(answers.iter().all(|(row, status)| status.message() == format!("no room on {row}")));
        assert_eq!(answers.len(), 200);
    }
}
