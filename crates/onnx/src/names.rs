//! Names of tensors: those that surgery adds must be free.

use std::collections::HashSet;

use crate::model::OnnxModel;
use crate::proto::GraphProto;

/// Gives nodes that are called as a tensor is another name: `rten` has one table for both.
pub(crate) fn tell_nodes_from_tensors(graph: &mut GraphProto) {
    let tensors: HashSet<String> = graph.node.iter().flat_map(|it| it.output.clone()).collect();
    for node in &mut graph.node {
        node.name = node.name.take().map(|it| if tensors.contains(&it) { format!("node/{it}") } else { it });
    }
}

/// Makes names free for tensors that surgery adds: a tensor that has one of them gets another.
pub(crate) fn free_names(graph: &mut GraphProto, wanted: &[&str]) {
    let mut taken = HashSet::new();
    visit_names(graph, &mut |name| {
        taken.insert(name.clone());
    });
    for name in wanted {
        if !taken.contains(*name) {
            continue;
        }
        let candidates = (1..).map(|it| format!("{name}__{it}"));
        let free = candidates.into_iter().find(|it| !taken.contains(it)).expect("names never run out");
        visit_names(graph, &mut |found| {
            if found == name {
                free.clone_into(found);
            }
        });
        taken.insert(free);
    }
}

/// Names for what surgery adds: no name of the graph begins as they do.
#[derive(Debug, Clone)]
pub(crate) struct Names(String);

impl Names {
    pub(crate) fn new(model: &OnnxModel, wanted: &str) -> Self {
        let mut graph = model.graph().clone();
        let mut first_parts = HashSet::new();
        visit_names(&mut graph, &mut |name| {
            first_parts.extend(name.split_once('/').map(|it| it.0.to_owned()));
        });
        let candidates = (1..).map(|it| if it == 1 { wanted.to_owned() } else { format!("{wanted}_{it}") });
        Self(candidates.into_iter().find(|it| !first_parts.contains(it)).expect("names never run out"))
    }

    /// The name of what plays a role for a tensor.
    pub(crate) fn of(&self, role: &str, tensor: &str) -> String {
        format!("{}/{role}/{tensor}", self.0)
    }
}

/// Visits the name of every tensor wherever it is written or read, bodies of control flow included.
fn visit_names(graph: &mut GraphProto, visit: &mut dyn FnMut(&mut String)) {
    let infos = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
    infos.filter_map(|it| it.name.as_mut()).for_each(&mut *visit);
    graph.initializer.iter_mut().filter_map(|it| it.name.as_mut()).for_each(&mut *visit);
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(&mut *visit);
        for body in node.attribute.iter_mut().flat_map(|it| it.g.iter_mut().chain(&mut it.graphs)) {
            visit_names(body, visit);
        }
    }
}
