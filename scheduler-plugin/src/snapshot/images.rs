//! Images and the nodes that have them.

use std::collections::{BTreeMap, BTreeSet};

use super::Row;
use crate::wire::ContainerImage;

/// All images on all nodes, by each of their names.
#[derive(Debug, Default)]
pub struct Images {
    by_name: BTreeMap<String, Image>,
}

/// An image on one or more nodes.
#[derive(Debug, Default)]
pub struct Image {
    /// Its size in bytes, as the first node said.
    pub size: i64,
    /// The nodes that have it.
    pub rows: BTreeSet<Row>,
}

impl Images {
    /// An image by one of its names.
    pub fn get(&self, name: &str) -> Option<&Image> {
        self.by_name.get(name)
    }

    pub(super) fn set(&mut self, row: Row, old: &[ContainerImage], new: &[ContainerImage]) {
        for name in old.iter().flat_map(|image| &image.names) {
            if let Some(image) = self.by_name.get_mut(name) {
                image.rows.remove(&row);
                if image.rows.is_empty() {
                    self.by_name.remove(name);
                }
            }
        }
        for image in new {
            for name in &image.names {
                let known = self
                    .by_name
                    .entry(name.clone())
                    .or_insert_with(|| Image { size: image.size_bytes, rows: BTreeSet::new() });
                known.rows.insert(row);
            }
        }
    }
}
