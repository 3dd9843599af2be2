//! The requests of a cluster as a list that tests can ask: who did what.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::authentication::UserInfo;
use crate::http::request_info::RequestInfo;

/// The most requests that are remembered; beyond that the oldest go. At about half a kilobyte each, that is 32 MiB.
pub const HISTORY_MAX: usize = 65_536;

/// One request as it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The id of the request, as in the header `Audit-Id`.
    pub audit_id: String,
    /// When it came.
    pub received: Timestamp,
    /// As whom it was done. Anonymous if the credentials were refused.
    pub user: UserInfo,
    /// Who asked to act as [`Record::user`]; nobody if that user acted in person.
    pub impersonator: Option<UserInfo>,
    /// What was asked for: verb, group, resource, subresource, namespace and name, or verb and path.
    pub info: RequestInfo,
    /// The path and the query.
    pub uri: String,
    /// Where it came from; nowhere if from this process.
    pub source_ips: Vec<IpAddr>,
    /// The client's `User-Agent`.
    pub user_agent: String,
    /// The status code of the answer.
    pub code: u16,
    /// What was noted about it: the decision of the authorizer and its reason, and what admission said.
    pub annotations: BTreeMap<String, String>,
    /// What had to be allowed besides: to create what a PUT or an apply makes, to act as somebody else.
    pub needed: Vec<Needed>,
}

/// Something that a user had to be allowed besides what their request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Who.
    pub user: String,
    /// What, in the form of a request.
    pub info: RequestInfo,
}

/// The requests so far, in the order in which they were answered (a watch: begun to be). Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<Record>,
    dropped: u64,
}

impl History {
    pub(crate) fn push(&self, record: Record) {
        let mut kept = self.0.lock();
        if kept.records.len() == HISTORY_MAX {
            kept.records.pop_front();
            kept.dropped += 1;
        }
        kept.records.push_back(record);
    }

    /// All requests that are remembered.
    pub fn records(&self) -> Vec<Record> {
        self.matching(|_| true)
    }

    /// Those done as the user of that name: `jane`, `system:serviceaccount:default:operator`.
    pub fn by(&self, user: &str) -> Vec<Record> {
        self.matching(|record| record.user.name == user)
    }

    /// Those that fit.
    pub fn matching(&self, fits: impl Fn(&Record) -> bool) -> Vec<Record> {
        self.0.lock().records.iter().filter(|record| fits(record)).cloned().collect()
    }

    /// How many were forgotten because there were more than [`HISTORY_MAX`].
    pub fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }

    /// Forgets everything so far.
    pub fn clear(&self) {
        *self.0.lock() = Kept::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> Record {
        Record {
            audit_id: String::new(),
            received: Timestamp::UNIX_EPOCH,
            user: UserInfo::known(name, &[]),
            impersonator: None,
            info: RequestInfo::default(),
            uri: String::new(),
            source_ips: Vec::new(),
            user_agent: String::new(),
            code: 200,
            annotations: BTreeMap::new(),
            needed: vec![],
        }
    }

    #[test]
    fn the_oldest_requests_are_forgotten() {
        let history = History::default();
        history.push(record("jane"));
        for _ in 0..HISTORY_MAX {
            history.push(record("joe"));
        }
        assert_eq!((history.records().len(), history.dropped()), (HISTORY_MAX, 1));
        assert!(history.by("jane").is_empty());
        history.clear();
        assert_eq!((history.records().len(), history.dropped()), (0, 0));
    }
}
