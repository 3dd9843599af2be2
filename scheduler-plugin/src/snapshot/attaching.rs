//! How many volumes a node can attach, and how many it may have to: in columns, so that no object has to be looked up for a
//! node that is far from its limit.

use std::collections::HashMap;

use steersman_framework::reflector::Change;

use super::{Row, Snapshot, Storage};
use crate::cluster_event::{ClusterEvent, EventObject};
use crate::pod::PodSpec;
use crate::wire::{CsiNode, VolumeAttachment};

/// The columns.
#[derive(Debug, Default)]
pub(super) struct Attaching {
    /// By row: the volumes of the pods there, whether or not they are attached.
    volumes: Vec<usize>,
    /// By row: what the API shows as attached.
    attached: Vec<usize>,
    /// By row: the lowest limit of a driver.
    limits: Vec<Option<usize>>,
    /// Attachments by the name of the node, also of those that are not known.
    by_node: HashMap<String, usize>,
}

impl Attaching {
    /// A row has a node now.
    pub(super) fn begin(&mut self, row: Row, name: &str, storage: &Storage) {
        let index = row as usize;
        if self.volumes.len() <= index {
            self.volumes.resize(index + 1, 0);
            self.attached.resize(index + 1, 0);
            self.limits.resize(index + 1, None);
        }
        self.volumes[index] = 0;
        self.attached[index] = self.by_node.get(name).copied().unwrap_or(0);
        self.limits[index] = storage.csi_nodes.get("", name).and_then(|node| lowest(node));
    }

    /// A pod came to a node, or left it.
    pub(super) fn count(&mut self, row: Row, spec: &PodSpec, came: bool) {
        let count = &mut self.volumes[row as usize];
        *count = if came { *count + spec.volumes.len() } else { count.saturating_sub(spec.volumes.len()) };
    }
}

fn lowest(node: &CsiNode) -> Option<usize> {
    node.spec.drivers.iter().filter_map(|driver| driver.allocatable.count).min().map(|limit| limit as usize)
}

impl Snapshot {
    /// Whether a node has room for so many more volumes, whatever they are; false if that takes a closer look.
    pub(crate) fn can_surely_attach(&self, row: Row, more: usize) -> bool {
        let (columns, index) = (&self.attaching, row as usize);
        columns.limits[index].is_none_or(|limit| columns.volumes[index] + columns.attached[index] + more <= limit)
    }

    /// Takes in a change of what CSI drivers can do on nodes.
    pub(crate) fn apply_csi_nodes(&mut self, change: Change<CsiNode>) -> Vec<(ClusterEvent, EventObject)> {
        let happened = self.storage_mut().csi_nodes.apply(change);
        for (_, object) in &happened {
            let Some((old, new)) = object.change_of::<CsiNode>() else { continue };
            let name = new.or(old).map_or("", |node| node.metadata.common.name.as_str());
            if let Some(&row) = self.rows.get(name) {
                self.attaching.limits[row as usize] = new.and_then(lowest);
            }
        }
        happened
    }

    /// Takes in a change of what is attached.
    pub(crate) fn apply_attachments(&mut self, change: Change<VolumeAttachment>) -> Vec<(ClusterEvent, EventObject)> {
        // What was not known was not counted.
        let known = |it: &VolumeAttachment| self.storage.attachments.get("", &it.metadata.name).is_some();
        let counts = if let Change::Deleted(attachment) = &change { known(attachment) } else { true };
        let happened = self.storage_mut().attachments.apply(change);
        for (_, object) in happened.iter().filter(|_| counts) {
            let Some((old, new)) = object.change_of::<VolumeAttachment>() else { continue };
            for (attachment, came) in old.map(|old| (old, false)).into_iter().chain(new.map(|new| (new, true))) {
                self.count_attachment(&attachment.spec.node_name, came);
            }
        }
        happened
    }

    fn count_attachment(&mut self, node: &str, came: bool) {
        let columns = &mut self.attaching;
        let count = columns.by_node.entry(node.to_owned()).or_default();
        *count = if came { *count + 1 } else { count.saturating_sub(1) };
        let now = *count;
        if now == 0 {
            columns.by_node.remove(node);
        }
        if let Some(&row) = self.rows.get(node) {
            columns.attached[row as usize] = now;
        }
    }
}
