use super::OrdMap;
use serde::{Serialize, Serializer};
use std::fmt;

/// A list that shares structure with its clones; it grows at its end and shrinks at both.
pub struct Vector<T> {
    /// Keys are consecutive, from `first` on.
    items: OrdMap<u64, T>,
    first: u64,
}

impl<T> Vector<T> {
    /// A list without items.
    pub fn new() -> Self {
        Vector { items: OrdMap::new(), first: 0 }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All items, from the first to the last.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.values()
    }

    fn key(&self, index: usize) -> u64 {
        self.first + index as u64
    }
}

impl<T: Clone> Vector<T> {
    /// The item at an index.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.items.get(&self.key(index))
    }

    /// All items, from the last to the first; each is looked up, so it's meant for the last few.
    pub fn iter_back(&self) -> impl Iterator<Item = &T> {
        (0..self.len()).rev().filter_map(|index| self.get(index))
    }

    /// The last item.
    pub fn last(&self) -> Option<&T> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Puts an item in an index's place; nothing happens past the end.
    pub fn set(&mut self, index: usize, item: T) {
        let key = self.key(index);
        if let Some(place) = self.items.get_mut(&key) {
            *place = item;
        }
    }

    /// Adds an item at the end.
    pub fn push_back(&mut self, item: T) {
        let key = self.key(self.len());
        self.items.insert(key, item);
    }

    /// Takes the last item.
    pub fn pop_back(&mut self) -> Option<T> {
        let key = self.key(self.len().checked_sub(1)?);
        self.items.remove(&key)
    }

    /// Takes the first item.
    pub fn pop_front(&mut self) -> Option<T> {
        let item = self.items.remove(&self.first)?;
        self.first += 1;
        Some(item)
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        *self = Vector::new();
    }
}

impl<T> Clone for Vector<T> {
    fn clone(&self) -> Self {
        Vector { items: self.items.clone(), first: self.first }
    }
}

impl<T> Default for Vector<T> {
    fn default() -> Self {
        Vector::new()
    }
}

impl<T: PartialEq> PartialEq for Vector<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for Vector<T> {}

impl<T: fmt::Debug> fmt::Debug for Vector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Clone> FromIterator<T> for Vector<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut list = Vector::new();
        for item in items {
            list.push_back(item);
        }
        list
    }
}

impl<'a, T> IntoIterator for &'a Vector<T> {
    type Item = &'a T;
    type IntoIter = std::iter::Map<super::Iter<'a, u64, T>, fn((&'a u64, &'a T)) -> &'a T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter().map(|(_, item)| item)
    }
}

impl<T: Serialize> Serialize for Vector<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}
