use serde::{Serialize, Serializer};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Entries of a leaf, or children of a branch, above which it is split.
const WIDTH: usize = 64;
/// Below this a node is joined with its neighbour where both fit in one.
const THIN: usize = WIDTH / 4;

/// An ordered map: a B+ tree whose nodes are shared between clones.
///
/// `get`, `insert` and `remove` take O(log n); a clone takes O(1), and the first change after it copies one node of
/// each level.
pub struct OrdMap<K, V> {
    root: Arc<Node<K, V>>,
    len: usize,
}

/// All leaves are equally deep. A child stands beside a bound: no key of it is less, and all keys before it are. The
/// first child takes whatever is less than the second one's bound, so its own isn't looked at.
#[derive(Clone)]
enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    Branch(Vec<Child<K, V>>),
}

type Child<K, V> = (K, Arc<Node<K, V>>);

impl<K, V> Node<K, V> {
    fn width(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Branch(children) => children.len(),
        }
    }
}

fn child_of<K: Borrow<Q>, Q: Ord + ?Sized, C>(children: &[(K, C)], key: &Q) -> usize {
    // What grows at its end is looked for there first.
    if children.last().is_some_and(|(bound, _)| bound.borrow() <= key) {
        return children.len() - 1;
    }
    children.partition_point(|(bound, _)| bound.borrow() <= key).saturating_sub(1)
}

fn find<K: Borrow<Q>, Q: Ord + ?Sized, V>(entries: &[(K, V)], key: &Q) -> Result<usize, usize> {
    if entries.last().is_some_and(|(last, _)| last.borrow() < key) {
        return Err(entries.len());
    }
    entries.binary_search_by(|(k, _)| k.borrow().cmp(key))
}

/// What is past the width, cut off. A node that grew at its end stays full, so that a map filled in order is dense.
fn split<K: Clone, T>(list: &mut Vec<(K, T)>, grown_at: usize) -> Option<(K, Vec<(K, T)>)> {
    if list.len() <= WIDTH {
        return None;
    }
    let at = if grown_at + 1 == list.len() { grown_at } else { list.len() / 2 };
    let right = list.split_off(at);
    Some((right.first()?.0.clone(), right))
}

fn insert<K: Ord + Clone, V: Clone>(node: &mut Arc<Node<K, V>>, key: K, value: V) -> (Option<V>, Option<Child<K, V>>) {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => match find(entries, &key) {
            Ok(at) => (Some(std::mem::replace(&mut entries[at].1, value)), None),
            Err(at) => {
                entries.insert(at, (key, value));
                (None, split(entries, at).map(|(bound, right)| (bound, Arc::new(Node::Leaf(right)))))
            }
        },
        Node::Branch(children) => {
            let at = child_of(children, &key);
            let (old, grown) = insert(&mut children[at].1, key, value);
            let Some(child) = grown else { return (old, None) };
            children.insert(at + 1, child);
            (old, split(children, at + 1).map(|(bound, right)| (bound, Arc::new(Node::Branch(right)))))
        }
    }
}

/// Takes out a key that is there.
fn remove<K, V, Q>(node: &mut Arc<Node<K, V>>, key: &Q) -> Option<V>
where
    K: Ord + Clone + Borrow<Q>,
    V: Clone,
    Q: Ord + ?Sized,
{
    match Arc::make_mut(node) {
        Node::Leaf(entries) => find(entries, key).ok().map(|at| entries.remove(at).1),
        Node::Branch(children) => {
            let at = child_of(children, key);
            let old = remove(&mut children[at].1, key);
            mend(children, at);
            old
        }
    }
}

/// Takes the first leaf's entries out.
fn take_first<K: Clone, V: Clone>(node: &mut Arc<Node<K, V>>) -> Vec<(K, V)> {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => std::mem::take(entries),
        Node::Branch(children) => {
            let taken = children.first_mut().map_or_else(Vec::new, |(_, first)| take_first(first));
            if !children.is_empty() {
                mend(children, 0);
            }
            taken
        }
    }
}

/// After a removal below child `at`: an empty child goes, a thin one is joined with a neighbour.
fn mend<K: Clone, V: Clone>(children: &mut Vec<Child<K, V>>, at: usize) {
    let width = children[at].1.width();
    if width == 0 {
        children.remove(at);
        return;
    }
    if width >= THIN || children.len() == 1 {
        return;
    }
    let left = if at + 1 < children.len() { at } else { at - 1 };
    if children[left].1.width() + children[left + 1].1.width() > WIDTH {
        return;
    }
    let (bound, right) = children.remove(left + 1);
    match (Arc::make_mut(&mut children[left].1), Arc::unwrap_or_clone(right)) {
        (Node::Leaf(to), Node::Leaf(from)) => to.extend(from),
        (Node::Branch(to), Node::Branch(mut from)) => {
            from[0].0 = bound; // first no longer, so its bound counts from now on
            to.extend(from);
        }
        _ => unreachable!("leaves are equally deep"),
    }
}

impl<K, V> OrdMap<K, V> {
    /// A map without entries.
    pub fn new() -> Self {
        OrdMap { root: Arc::new(Node::Leaf(Vec::new())), len: 0 }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in the order of their keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        let mut iter = Iter { branches: Vec::new(), leaf: [].iter(), left: self.len };
        iter.enter(&self.root);
        iter
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The entry with the least key.
    pub fn get_min(&self) -> Option<(&K, &V)> {
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Leaf(entries) => return entries.first().map(|(k, v)| (k, v)),
                Node::Branch(children) => node = &children.first()?.1,
            }
        }
    }

    /// Whether both are the same piece of memory, and so surely equal.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
    }
}

impl<K: Ord + Clone, V: Clone> OrdMap<K, V> {
    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Leaf(entries) => return find(entries, key).ok().map(|at| &entries[at].1),
                Node::Branch(children) => node = &children[child_of(children, key)].1,
            }
        }
    }

    /// The key that is equal to this one.
    pub fn get_key<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&K>
    where
        K: Borrow<Q>,
    {
        self.get_prev(key).map(|(found, _)| found).filter(|found| (*found).borrow() == key)
    }

    /// Whether the key has a value.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The entry with the greatest key that is not greater than this one.
    pub fn get_prev<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        // A bound may be less than all that is left of its child; then the answer is the last of the child before.
        let (mut node, mut before) = (&self.root, None);
        loop {
            match &**node {
                Node::Branch(children) => {
                    let at = child_of(children, key);
                    before = at.checked_sub(1).map(|b| &children[b].1).or(before);
                    node = &children[at].1;
                }
                Node::Leaf(entries) => {
                    if let Some(at) = entries.partition_point(|(k, _)| k.borrow() <= key).checked_sub(1) {
                        return entries.get(at).map(|(k, v)| (k, v));
                    }
                    break;
                }
            }
        }
        let mut node = before?;
        loop {
            match &**node {
                Node::Leaf(entries) => return entries.last().map(|(k, v)| (k, v)),
                Node::Branch(children) => node = &children.last()?.1,
            }
        }
    }

    /// The value of a key, to change. The way to it is no longer shared, even if it isn't there.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let mut node = &mut self.root;
        loop {
            match Arc::make_mut(node) {
                Node::Leaf(entries) => return find(entries, key).ok().map(|at| &mut entries[at].1),
                Node::Branch(children) => {
                    let at = child_of(children, key);
                    node = &mut children[at].1;
                }
            }
        }
    }

    /// Sets a key's value, and returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (old, grown) = insert(&mut self.root, key, value);
        if let Some(right) = grown {
            let bound = right.0.clone(); // the first bound isn't looked at
            let left = std::mem::replace(&mut self.root, Arc::new(Node::Leaf(Vec::new())));
            self.root = Arc::new(Node::Branch(vec![(bound, left), right]));
        }
        self.len += usize::from(old.is_none());
        old
    }

    /// Takes a key out, and returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if !self.contains_key(key) {
            return None;
        }
        let old = remove(&mut self.root, key);
        self.close_up();
        self.len -= usize::from(old.is_some());
        old
    }

    /// Takes the first entries out: as many as lie together, in the order of their keys.
    pub fn take_first(&mut self) -> Vec<(K, V)> {
        let taken = take_first(&mut self.root);
        self.close_up();
        self.len -= taken.len();
        taken
    }

    /// A root with one child gives way to it.
    fn close_up(&mut self) {
        while let Node::Branch(children) = &*self.root
            && children.len() < 2
        {
            self.root = children.first().map_or_else(|| Arc::new(Node::Leaf(Vec::new())), |(_, only)| only.clone());
        }
    }

    /// A key's place, to fill where it is empty.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        Entry { map: self, key }
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        *self = OrdMap::new();
    }
}

/// A key's place in a map.
pub struct Entry<'a, K, V> {
    map: &'a mut OrdMap<K, V>,
    key: K,
}

impl<'a, K: Ord + Clone, V: Clone> Entry<'a, K, V> {
    /// The value there, which is this one if there was none.
    pub fn or_insert(self, value: V) -> &'a mut V {
        if !self.map.contains_key(&self.key) {
            self.map.insert(self.key.clone(), value);
        }
        self.map.get_mut(&self.key).expect("it is there or was just put there")
    }

    /// The value there, which is the default if there was none.
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert(V::default())
    }
}

/// Entries in the order of their keys.
pub struct Iter<'a, K, V> {
    branches: Vec<std::slice::Iter<'a, Child<K, V>>>,
    leaf: std::slice::Iter<'a, (K, V)>,
    left: usize,
}

impl<'a, K, V> Iter<'a, K, V> {
    fn enter(&mut self, node: &'a Node<K, V>) {
        match node {
            Node::Leaf(entries) => self.leaf = entries.iter(),
            Node::Branch(children) => self.branches.push(children.iter()),
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                self.left -= 1;
                return Some((key, value));
            }
            match self.branches.last_mut()?.next() {
                Some((_, child)) => self.enter(child),
                None => {
                    self.branches.pop();
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K, V> Clone for OrdMap<K, V> {
    fn clone(&self) -> Self {
        OrdMap { root: self.root.clone(), len: self.len }
    }
}

impl<K, V> Default for OrdMap<K, V> {
    fn default() -> Self {
        OrdMap::new()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for OrdMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.ptr_eq(other) || self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for OrdMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for OrdMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for OrdMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = OrdMap::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<'a, K, V> IntoIterator for &'a OrdMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<K: Serialize, V: Serialize> Serialize for OrdMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}
