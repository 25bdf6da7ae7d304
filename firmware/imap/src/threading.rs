//! THREAD: putting messages into conversations (RFC 5256 sections 3 and 4), from their keys alone.
//!
//! Both algorithms cost n log n. Chains of any length are followed without recursion, and what crafted
//! References can cost is bounded: a link that cannot be checked for a loop in time is left out.

use std::collections::HashMap;
use std::fmt::Write;

/// What threading needs of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Threaded {
    /// Sequence number or UID, as the answer shows it.
    pub number: u32,
    /// Sent date, or INTERNALDATE where there is none.
    pub date_s: i64,
    /// Base subject, ready to be compared.
    pub subject: String,
    /// The subject had a reply or forward mark.
    pub is_reply: bool,
    /// Message-ID.
    pub message_id: Option<String>,
    /// References, or the first of In-Reply-To; the nearest ancestor is the last.
    pub references: Vec<String>,
}

/// Which algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// ORDEREDSUBJECT
    OrderedSubject,
    /// REFERENCES
    References,
}

/// The threads as THREAD answers them, with a space in front if there are any. The messages come in the
/// order of the mailbox.
pub(crate) fn threads(algorithm: Algorithm, messages: &[Threaded]) -> String {
    match algorithm {
        Algorithm::OrderedSubject => ordered_subject(messages),
        Algorithm::References => {
            let mut forest = Forest::link(messages);
            forest.prune();
            forest.gather_subjects();
            forest.write()
        }
    }
}

fn ordered_subject(messages: &[Threaded]) -> String {
    let mut sorted: Vec<&Threaded> = messages.iter().collect();
    sorted.sort_by(|a, b| {
        a.subject.cmp(&b.subject).then(a.date_s.cmp(&b.date_s)).then(a.number.cmp(&b.number))
    });
    let mut threads: Vec<&[&Threaded]> = sorted.chunk_by(|a, b| a.subject == b.subject).collect();
    threads.sort_by_key(|thread| thread.first().map(|first| (first.date_s, first.number)));
    let mut out = String::new();
    for thread in threads {
        if out.is_empty() {
            out.push(' ');
        }
        let Some((first, rest)) = thread.split_first() else { continue };
        let _ = write!(out, "({}", first.number);
        match rest {
            [] => {}
            [only] => drop(write!(out, " {}", only.number)),
            several => {
                out.push(' ');
                for message in several {
                    let _ = write!(out, "({})", message.number);
                }
            }
        }
        out.push(')');
    }
    out
}

/// Steps upwards that loop checks may take, per message.
const STEPS_PER_MESSAGE: usize = 256;
/// No node.
const NONE: usize = usize::MAX;

/// A message, or a dummy: a place for one that is not here.
#[derive(Debug, Clone)]
struct Node<'a> {
    message: Option<&'a Threaded>,
    parent: usize,
    children: Vec<usize>,
    /// While linking, when only parents are kept.
    child_count: usize,
}

struct Forest<'a> {
    nodes: Vec<Node<'a>>,
    roots: Vec<usize>,
    steps: usize,
}

impl<'a> Forest<'a> {
    fn add(&mut self, message: Option<&'a Threaded>) -> usize {
        self.nodes.push(Node { message, parent: NONE, children: Vec::new(), child_count: 0 });
        self.nodes.len() - 1
    }

    /// Step 1: links every message to what it refers to, then step 2: finds those without a parent.
    fn link(messages: &'a [Threaded]) -> Self {
        let mut forest = Self { nodes: Vec::with_capacity(messages.len()), roots: Vec::new(), steps: 0 };
        forest.steps = messages.len().saturating_mul(STEPS_PER_MESSAGE);
        let mut by_id: HashMap<&'a str, usize> = HashMap::with_capacity(messages.len());
        for message in messages {
            // A message without an id, or with that of an earlier one, has one of its own.
            let node = match message.message_id.as_deref() {
                None => forest.add(Some(message)),
                Some(id) => match by_id.get(id) {
                    Some(&node) if forest.nodes[node].message.is_none() => {
                        forest.nodes[node].message = Some(message);
                        node
                    }
                    Some(_) => forest.add(Some(message)),
                    None => {
                        let node = forest.add(Some(message));
                        by_id.insert(id, node);
                        node
                    }
                },
            };
            let mut nearest = NONE;
            for id in &message.references {
                let referred = *by_id.entry(id.as_str()).or_insert_with(|| {
                    forest.nodes.push(Node {
                        message: None,
                        parent: NONE,
                        children: Vec::new(),
                        child_count: 0,
                    });
                    forest.nodes.len() - 1
                });
                // 1.A: what is linked already stays as it is.
                if nearest != NONE && forest.nodes[referred].parent == NONE {
                    forest.set_parent(referred, nearest);
                }
                nearest = referred;
            }
            // 1.B: the message itself knows its parent best.
            if forest.nodes[node].parent != nearest {
                forest.set_parent(node, nearest);
            }
        }
        forest.list_children();
        forest
    }

    /// Sets a parent, or none, unless that would make a loop.
    fn set_parent(&mut self, child: usize, parent: usize) {
        if parent != NONE && self.is_above(child, parent) {
            return;
        }
        let before = std::mem::replace(&mut self.nodes[child].parent, parent);
        if before != NONE {
            self.nodes[before].child_count -= 1;
        }
        if parent != NONE {
            self.nodes[parent].child_count += 1;
        }
    }

    /// Whether `above` is `node` or one of its ancestors, or that would take too long to tell.
    fn is_above(&mut self, above: usize, node: usize) -> bool {
        if above == node {
            return true;
        }
        if self.nodes[above].child_count == 0 {
            return false;
        }
        let mut at = node;
        while at != NONE {
            if at == above || self.steps == 0 {
                return true;
            }
            self.steps -= 1;
            at = self.nodes[at].parent;
        }
        false
    }

    fn list_children(&mut self) {
        for node in 0..self.nodes.len() {
            match self.nodes[node].parent {
                NONE => self.roots.push(node),
                parent => self.nodes[parent].children.push(node),
            }
        }
    }

    /// All nodes below the roots, every child behind its parent.
    fn all_below_the_roots(&self) -> Vec<usize> {
        let mut order = self.roots.clone();
        let mut at = 0;
        while let Some(&node) = order.get(at) {
            order.extend_from_slice(&self.nodes[node].children);
            at += 1;
        }
        order
    }

    /// Step 3: dummies without children go, others give their children to whom they belong to. A dummy
    /// that holds several together at the top stays.
    fn prune(&mut self) {
        for node in self.all_below_the_roots().into_iter().rev() {
            let children = std::mem::take(&mut self.nodes[node].children);
            self.nodes[node].children = self.without_dummies(children, false);
        }
        let roots = std::mem::take(&mut self.roots);
        self.roots = self.without_dummies(roots, true);
    }

    fn without_dummies(&mut self, siblings: Vec<usize>, top: bool) -> Vec<usize> {
        let mut kept = Vec::with_capacity(siblings.len());
        for node in siblings {
            if self.nodes[node].message.is_some() || (top && self.nodes[node].children.len() > 1) {
                kept.push(node);
            } else {
                kept.append(&mut self.nodes[node].children);
            }
        }
        kept
    }

    /// The message a top node is judged by: itself, or the first child of a dummy.
    fn face(&self, node: usize) -> Option<&'a Threaded> {
        let node = &self.nodes[node];
        node.message.or_else(|| node.children.first().and_then(|child| self.nodes[*child].message))
    }

    fn is_dummy(&self, node: usize) -> bool {
        self.nodes[node].message.is_none()
    }

    fn is_reply(&self, node: usize) -> bool {
        self.nodes[node].message.is_some_and(|message| message.is_reply)
    }

    fn age(&self, node: usize) -> (i64, u32) {
        self.face(node).map_or((i64::MAX, u32::MAX), |message| (message.date_s, message.number))
    }

    fn sort_siblings(&mut self, node: usize) {
        let mut children = std::mem::take(&mut self.nodes[node].children);
        children.sort_by_cached_key(|child| self.age(*child));
        self.nodes[node].children = children;
    }

    fn sort_roots(&mut self) {
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_by_cached_key(|root| self.age(*root));
        self.roots = roots;
    }

    /// Step 4 sorts the top, step 5 brings together what has the same subject.
    fn gather_subjects(&mut self) {
        for root in self.roots.clone() {
            if self.is_dummy(root) {
                self.sort_siblings(root);
            }
        }
        self.sort_roots();
        let mut table: HashMap<&'a str, usize> = HashMap::new();
        for &root in &self.roots {
            let Some(subject) = self.face(root).map(|face| face.subject.as_str()) else { continue };
            if subject.is_empty() {
                continue;
            }
            let held = *table.entry(subject).or_insert(root);
            if !self.is_dummy(held) && (self.is_dummy(root) || (self.is_reply(held) && !self.is_reply(root)))
            {
                table.insert(subject, root);
            }
        }
        let mut gone = vec![false; self.nodes.len()];
        let mut made = Vec::new();
        for root in std::mem::take(&mut self.roots) {
            made.push(root);
            let Some(subject) = self.face(root).map(|face| face.subject.as_str()) else { continue };
            let Some(&held) = table.get(subject) else { continue };
            if held == root {
                continue;
            }
            if self.is_dummy(held) && self.is_dummy(root) {
                let mut children = std::mem::take(&mut self.nodes[root].children);
                self.nodes[held].children.append(&mut children);
            } else if self.is_dummy(held) || (self.is_reply(root) && !self.is_reply(held)) {
                self.nodes[held].children.push(root);
            } else {
                let dummy = self.add(None);
                gone.push(false);
                self.nodes[dummy].children = vec![held, root];
                table.insert(subject, dummy);
                gone[held] = true;
                made.push(dummy);
            }
            gone[root] = true;
        }
        made.retain(|root| !gone[*root]);
        self.roots = made;
    }

    /// Step 6: siblings of every level by age, then the answer.
    fn write(&mut self) -> String {
        // Children first: a dummy is as old as its first child.
        for node in self.all_below_the_roots().into_iter().rev() {
            self.sort_siblings(node);
        }
        self.sort_roots();
        enum Piece {
            Node(usize),
            Close,
        }
        let mut out = String::new();
        let mut pieces: Vec<Piece> = Vec::new();
        for &root in self.roots.iter().rev() {
            pieces.push(Piece::Close);
            pieces.push(Piece::Node(root));
        }
        // A node stands behind `(`, behind a blank when it goes on a chain, or opens a branch.
        let mut opened = false;
        while let Some(piece) = pieces.pop() {
            let Piece::Node(node) = piece else {
                out.push(')');
                opened = false;
                continue;
            };
            if out.is_empty() {
                out.push(' ');
            }
            if !opened {
                out.push('(');
            }
            let node = &self.nodes[node];
            if let Some(message) = node.message {
                let _ = write!(out, "{}", message.number);
                if !node.children.is_empty() {
                    out.push(' ');
                }
            }
            opened = false;
            if let [only] = node.children.as_slice() {
                opened = true;
                pieces.push(Piece::Node(*only));
                continue;
            }
            for &child in node.children.iter().rev() {
                pieces.push(Piece::Close);
                pieces.push(Piece::Node(child));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `number date subject id references...`; a subject that begins with `re-` is a reply's.
    fn mailbox(lines: &[&str]) -> Vec<Threaded> {
        let read = |(at, line): (usize, &&str)| {
            let words: Vec<&str> = line.split(' ').collect();
            let subject = words[1].trim_start_matches('-');
            Threaded {
                number: at as u32 + 1,
                date_s: words[0].parse().unwrap(),
                subject: subject.trim_start_matches("re:").to_owned(),
                is_reply: subject.starts_with("re:"),
                message_id: words.get(2).map(|id| (*id).to_owned()),
                references: words.iter().skip(3).map(|id| (*id).to_owned()).collect(),
            }
        };
        lines.iter().enumerate().map(read).collect()
    }

    fn by_references(lines: &[&str]) -> String {
        threads(Algorithm::References, &mailbox(lines))
    }

    #[test]
    fn chains_and_branches() {
        assert_eq!(by_references(&[]), "");
        assert_eq!(by_references(&["1 s a", "2 re:s b a", "3 re:s c a b"]), " (1 2 3)");
        assert_eq!(
            by_references(&["1 s a", "2 re:s b a", "3 re:s c a", "4 re:s d a b", "5 re:s e a b"]),
            " (1 (2 (4)(5))(3))"
        );
        // Later parents come first all the same.
        assert_eq!(by_references(&["3 re:s c a b", "2 re:s b a", "1 s a"]), " (3 2 1)");
    }

    #[test]
    fn missing_messages_leave_no_trace_but_at_the_top() {
        assert_eq!(by_references(&["1 s b a", "2 t c a"]), " ((1)(2))");
        assert_eq!(by_references(&["1 s b a"]), " (1)");
        assert_eq!(by_references(&["1 s a", "2 t c a b", "3 u d a b"]), " (1 (2)(3))");
    }

    #[test]
    fn loops_and_doubles_are_cut() {
        assert_eq!(by_references(&["1 s a b", "2 t b a"]), " (2 1)");
        assert_eq!(by_references(&["1 s a a"]), " (1)");
        assert_eq!(by_references(&["1 s a", "2 t a", "3 u b a"]), " (1 3)(2)");
    }

    #[test]
    fn subjects_bring_threads_together() {
        // A reply joins the original; two originals share a dummy.
        assert_eq!(by_references(&["1 s a", "2 re:s b"]), " (1 2)");
        assert_eq!(by_references(&["2 re:s b", "1 s a"]), " (2 1)");
        assert_eq!(by_references(&["1 s a", "2 s b"]), " ((1)(2))");
        assert_eq!(by_references(&["1 s a", "2 s b", "3 s c"]), " ((1)(2)(3))");
        assert_eq!(by_references(&["1 re:s a", "2 re:s b"]), " ((1)(2))");
        // Two dummies become one; a message joins a dummy.
        assert_eq!(by_references(&["1 s a x", "2 s b x", "3 s c y", "4 s d y"]), " ((1)(2)(3)(4))");
        assert_eq!(by_references(&["1 s a x", "2 s b x", "3 s c"]), " ((1)(2)(3))");
        assert_eq!(by_references(&["1 - a", "2 - b"]), " (1)(2)", "no subject is no common subject");
    }

    #[test]
    fn ordered_subjects() {
        let threads = |lines: &[&str]| threads(Algorithm::OrderedSubject, &mailbox(lines));
        assert_eq!(threads(&["5 b x", "1 a y", "3 b z", "2 a w", "4 a v"]), " (2 (4)(5))(3 1)");
        assert_eq!(threads(&["1 a x"]), " (1)");
    }

    #[test]
    fn long_chains_and_crafted_references_end() {
        let chain = |order: &mut dyn Iterator<Item = usize>| -> Vec<Threaded> {
            order
                .zip(1..)
                .map(|(at, number)| Threaded {
                    number,
                    date_s: at as i64,
                    message_id: Some(at.to_string()),
                    references: (at.saturating_sub(50)..at).map(|id| id.to_string()).collect(),
                    ..Threaded::default()
                })
                .collect()
        };
        let forward = threads(Algorithm::References, &chain(&mut (0..20_000)));
        assert!(forward.starts_with(" (1 2 3 ") && forward.matches('(').count() == 1);
        let backward = threads(Algorithm::References, &chain(&mut (0..20_000).rev()));
        assert!(backward.starts_with(" (20000 19999 ") && backward.matches('(').count() == 1);
        let mut mixed = (0..20_000).map(|at| at * 7919 % 20_000);
        let mixed = threads(Algorithm::References, &chain(&mut mixed));
        assert_eq!(mixed.matches('(').count(), 1);
    }
}
