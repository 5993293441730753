use std::sync::Arc;

/// Items of a page.
const PAGE: usize = 64;

/// A list for many small changes at any place: pages that are shared between clones.
///
/// `get` and `get_mut` take O(1). A clone takes O(pages), and the first change after it copies one page.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    pages: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T: Clone> Paged<T> {
    /// A list without items.
    pub const fn new() -> Self {
        Paged { pages: Vec::new(), len: 0 }
    }

    /// A list of so many equal items; its pages are one as long as they don't change.
    pub fn filled(len: usize, item: T) -> Self {
        let page = Arc::new(vec![item; PAGE.min(len)]);
        let mut pages = vec![page.clone(); len / PAGE];
        if !len.is_multiple_of(PAGE) {
            pages.push(Arc::new(page[..len % PAGE].to_vec()));
        }
        Paged { pages, len }
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
    pub fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index / PAGE)?.get(index % PAGE)
    }

    /// The item at an index, to change. Its page is no longer shared.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        Arc::make_mut(self.pages.get_mut(index / PAGE)?).get_mut(index % PAGE)
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        if self.len.is_multiple_of(PAGE) {
            self.pages.push(Arc::new(Vec::with_capacity(PAGE)));
        }
        if let Some(page) = self.pages.last_mut() {
            Arc::make_mut(page).push(item);
            self.len += 1;
        }
    }

    /// All items, from the first to the last.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter())
    }
}

impl<T: Clone> Default for Paged<T> {
    fn default() -> Self {
        Paged::new()
    }
}
