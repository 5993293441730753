//! The persistent collections against the standard library's, on random histories with clones in between.

use lab_base::{OrdMap, OrdSet, Paged, Vector};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Clone, Debug)]
enum Step {
    Insert(u16, u8),
    Remove(u16),
    Bump(u16),
    /// Takes the first few out.
    TakeFirst,
    /// Keeps a clone of what is there; it must still be the same at the end.
    Snapshot,
}

fn step(keys: u16) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..keys, any::<u8>()).prop_map(|(k, v)| Step::Insert(k, v)),
        3 => (0..keys).prop_map(Step::Remove),
        1 => (0..keys).prop_map(Step::Bump),
        1 => Just(Step::Snapshot),
        1 => Just(Step::TakeFirst),
    ]
}

fn same(map: &OrdMap<u16, u8>, model: &BTreeMap<u16, u8>, keys: u16) {
    assert_eq!(map.len(), model.len());
    assert_eq!(map.is_empty(), model.is_empty());
    assert!(map.iter().eq(model.iter()), "{map:?} {model:?}");
    assert_eq!(map.get_min(), model.first_key_value());
    for key in (0..keys).step_by(19) {
        assert_eq!(map.get(&key), model.get(&key));
        assert_eq!(map.get_prev(&key), model.range(..=key).next_back(), "the last not above {key}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_map_is_a_btree_map(grow in 0u16..12000, steps in prop::collection::vec(step(12000), 0..2500)) {
        let mut map: OrdMap<u16, u8> = (0..grow).map(|k| (k, 1)).collect();
        let mut model: BTreeMap<u16, u8> = (0..grow).map(|k| (k, 1)).collect();
        let mut snapshots = Vec::new();
        for step in steps {
            match step {
                Step::Insert(k, v) => prop_assert_eq!(map.insert(k, v), model.insert(k, v)),
                Step::Remove(k) => prop_assert_eq!(map.remove(&k), model.remove(&k)),
                Step::Bump(k) => {
                    *map.entry(k).or_default() ^= 1;
                    *model.entry(k).or_default() ^= 1;
                }
                Step::Snapshot => snapshots.push((map.clone(), model.clone())),
                Step::TakeFirst => {
                    let taken = map.take_first();
                    prop_assert_eq!(taken.is_empty(), model.is_empty());
                    for entry in taken {
                        prop_assert_eq!(Some(entry), model.pop_first());
                    }
                }
            }
        }
        same(&map, &model, 12000);
        for (map, model) in &snapshots {
            same(map, model, 12000);
        }
        let keys: Vec<u16> = model.keys().copied().collect();
        for key in keys {
            prop_assert!(map.remove(&key).is_some());
        }
        prop_assert!(map.is_empty() && map.iter().next().is_none() && map.get_min().is_none());
    }

    #[test]
    fn a_set_is_a_btree_set(steps in prop::collection::vec(step(300), 0..1000)) {
        let (mut set, mut model) = (OrdSet::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Insert(k, _) | Step::Bump(k) => prop_assert_eq!(set.insert(k), model.insert(k)),
                Step::Remove(k) => prop_assert_eq!(set.remove(&k), model.remove(&k)),
                Step::Snapshot | Step::TakeFirst => {
                    prop_assert!(set.iter().eq(model.iter()) && set.get_min() == model.first());
                }
            }
        }
        prop_assert_eq!(set.iter().len(), model.len());
        prop_assert!(set.iter().eq(model.iter()));
    }

    #[test]
    fn a_vector_is_a_queue(steps in prop::collection::vec(step(500), 0..1500)) {
        let (mut list, mut model) = (Vector::new(), VecDeque::new());
        let mut snapshots = Vec::new();
        for step in steps {
            match step {
                Step::Insert(k, _) => { list.push_back(k); model.push_back(k); }
                Step::Remove(k) if k % 2 == 0 => prop_assert_eq!(list.pop_front(), model.pop_front()),
                Step::Remove(_) => prop_assert_eq!(list.pop_back(), model.pop_back()),
                Step::Bump(k) => {
                    list.set(usize::from(k), k);
                    if let Some(item) = model.get_mut(usize::from(k)) { *item = k; }
                    prop_assert_eq!(list.get(usize::from(k)), model.get(usize::from(k)));
                }
                Step::Snapshot | Step::TakeFirst => snapshots.push((list.clone(), model.clone())),
            }
        }
        snapshots.push((list, model));
        for (list, model) in &snapshots {
            prop_assert!(list.len() == model.len() && list.iter().eq(model.iter()));
            prop_assert!(list.iter_back().eq(model.iter().rev()) && list.last() == model.back());
        }
    }

    #[test]
    fn a_paged_list_is_a_list(filled in 0usize..300, steps in prop::collection::vec((0u8..10, 0usize..700, any::<u8>()), 0..900)) {
        let (mut list, mut model) = (Paged::<u8>::with_len(filled), vec![0; filled]);
        let mut snapshots = Vec::new();
        for (what, at, item) in steps {
            match what {
                0..5 => {
                    list.push(item);
                    model.push(item);
                }
                5 => snapshots.push((list.clone(), model.clone())),
                _ => {
                    let (a, b) = (list.get_mut(at), model.get_mut(at));
                    prop_assert_eq!(a.is_some(), b.is_some());
                    if let (Some(a), Some(b)) = (a, b) {
                        (*a, *b) = (item, item);
                    }
                }
            }
        }
        snapshots.push((Paged::from_items(model.clone()), model.clone()));
        for (list, model) in snapshots.iter().chain([&(list, model)]) {
            prop_assert_eq!(list.len(), model.len());
            prop_assert_eq!(list.is_empty(), model.is_empty());
            prop_assert!(list.iter().eq(model.iter()));
            prop_assert_eq!(list.get(model.len()), None);
            prop_assert_eq!(list.get(model.len() / 2), model.get(model.len() / 2));
        }
    }
}

/// The state hash is over serde's form, so it is that of any map and list.
#[test]
fn it_is_written_like_any_map_set_and_list() {
    let map: OrdMap<&str, u8> = [("b", 2), ("a", 1)].into_iter().collect();
    let set: OrdSet<u8> = [3, 1, 2].into_iter().collect();
    let list: Vector<u8> = [3, 1, 2].into_iter().collect();
    let text = serde_json::to_string(&(map, set, list)).expect("plain data");
    assert_eq!(text, r#"[{"a":1,"b":2},[1,2,3],[3,1,2]]"#);
}
