use std::fmt;
use std::sync::Arc;

/// A list for many small changes at any place: pages that are shared between clones.
///
/// `get` and `get_mut` take O(1). A clone takes O(pages), and the first change after it copies one page.
#[derive(Clone)]
pub struct Paged<T, const PAGE: usize = 64> {
    /// The last one is filled up with defaults.
    pages: Vec<Arc<[T]>>,
    len: usize,
}

impl<T: Clone + Default, const PAGE: usize> Paged<T, PAGE> {
    /// A list without items.
    pub const fn new() -> Self {
        Paged { pages: Vec::new(), len: 0 }
    }

    /// A list of so many defaults; its pages are one as long as they don't change.
    pub fn with_len(len: usize) -> Self {
        Paged { pages: vec![Self::page(); len.div_ceil(PAGE)], len }
    }

    /// A list of these items.
    pub fn from_items(mut items: Vec<T>) -> Self {
        let len = items.len();
        items.resize(len.next_multiple_of(PAGE), T::default());
        Paged { pages: items.chunks(PAGE).map(Arc::from).collect(), len }
    }

    fn page() -> Arc<[T]> {
        std::iter::repeat_n(T::default(), PAGE).collect()
    }

    /// How many items there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The item at an index.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        if index < self.len { self.pages.get(index / PAGE)?.get(index % PAGE) } else { None }
    }

    /// The item at an index, to change. Its page is no longer shared.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index < self.len { Arc::make_mut(self.pages.get_mut(index / PAGE)?).get_mut(index % PAGE) } else { None }
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        let at = self.len;
        if at == self.pages.len() * PAGE {
            self.pages.push(Self::page());
        }
        self.len += 1;
        if let Some(place) = self.get_mut(at) {
            *place = item;
        }
    }

    /// All items, from the first to the last.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter()).take(self.len)
    }
}

impl<T: Clone + Default, const PAGE: usize> Default for Paged<T, PAGE> {
    fn default() -> Self {
        Paged::new()
    }
}

impl<T: Clone + Default + fmt::Debug, const PAGE: usize> fmt::Debug for Paged<T, PAGE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
