//! The nodes: who they are, and the loop that registers them and keeps them alive.

mod heartbeat;
mod object;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::options::{NodeTemplate, Options};
use crate::{Error, KUBELET_VERSION};

pub(crate) use heartbeat::run;

/// The first address that pods may get; each node's block follows the one before.
const FIRST_POD_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 0);

/// The first address that nodes get.
const FIRST_NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 2);

/// The addresses in the block of a node with at most 250 pods: a /24, as kubeadm and flannel do.
const USUAL_BLOCK: u32 = 256;

/// The nodes of this process, by index.
#[derive(Debug)]
pub(crate) struct Nodes {
    templates: Vec<NodeTemplate>,
    nodes: Vec<Node>,
    by_name: BTreeMap<String, usize>,
}

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    /// The first address of its pods' block, and how many there are: a power of two.
    pub(crate) pods: (Ipv4Addr, u32),
    template: usize,
}

impl Nodes {
    /// Makes the nodes that the options describe.
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let mut nodes = Self { templates: options.nodes.clone(), nodes: Vec::new(), by_name: BTreeMap::new() };
        let mut next_pod = u32::from(FIRST_POD_ADDRESS);
        for (template, described) in options.nodes.iter().enumerate() {
            let block = block_size(described)?;
            for number in 0..described.count {
                // A block starts at a multiple of its size, so that it has a prefix.
                next_pod = next_pod.next_multiple_of(block);
                let index = nodes.nodes.len();
                nodes.push(Node {
                    name: name(described, number)?,
                    address: Ipv4Addr::from(u32::from(FIRST_NODE_ADDRESS) + index as u32),
                    pods: (Ipv4Addr::from(next_pod), block),
                    template,
                })?;
                next_pod = next_pod
                    .checked_add(block)
                    .ok_or_else(|| Error::InvalidOptions("the pods of all nodes need too many addresses".to_owned()))?;
            }
        }
        Ok(nodes)
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn get(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// The index of the node of that name.
    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    fn template(&self, node: &Node) -> &NodeTemplate {
        &self.templates[node.template]
    }

    fn push(&mut self, node: Node) -> Result<(), Error> {
        if self.by_name.insert(node.name.clone(), self.nodes.len()).is_some() {
            return Err(Error::InvalidOptions(format!("two nodes are named {}", node.name)));
        }
        self.nodes.push(node);
        Ok(())
    }
}

fn name(template: &NodeTemplate, number: usize) -> Result<String, Error> {
    if template.count > 1 && !template.name.contains("{}") {
        let message = format!("{} nodes are named {}; `{{}}` stands for a number", template.count, template.name);
        return Err(Error::InvalidOptions(message));
    }
    Ok(template.name.replace("{}", &number.to_string()))
}

/// Room for the node's pods and for the addresses that no pod gets (network, gateway, broadcast).
fn block_size(template: &NodeTemplate) -> Result<u32, Error> {
    let Some(pods) = template.capacity.get("pods") else {
        return Ok(USUAL_BLOCK);
    };
    let invalid = || Error::InvalidOptions(format!("the capacity for pods is {pods:?}, not a small whole number"));
    let pods: u32 = pods.parse().map_err(|_| invalid())?;
    let needed = pods.checked_add(3).and_then(u32::checked_next_power_of_two);
    Ok(needed.ok_or_else(invalid)?.max(USUAL_BLOCK))
}
