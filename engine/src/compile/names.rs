//! Entities by account and name: names are unique in an account ignoring case and path (I-3).

use hashbrown::HashTable;

use crate::word::{equals_folded, hash_folded, stir};

/// Values by account and name.
#[derive(Debug)]
pub(crate) struct Names<T> {
    table: HashTable<Named<T>>,
}

#[derive(Debug)]
struct Named<T> {
    account: Box<str>,
    /// In lower case.
    name: Box<str>,
    value: T,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { table: HashTable::new() }
    }
}

fn hash(account: &str, name: &str) -> u64 {
    stir(hash_folded(account), hash_folded(name))
}

impl<T> Names<T> {
    /// Adds a value; one of the same name before it is replaced.
    pub(crate) fn insert(&mut self, account: &str, name: &str, value: T) {
        let is_it = |named: &Named<T>| *named.account == *account && equals_folded(name, &named.name);
        if let Some(named) = self.table.find_mut(hash(account, name), is_it) {
            named.value = value;
            return;
        }
        let named = Named { account: account.into(), name: name.to_ascii_lowercase().into(), value };
        self.table.insert_unique(hash(account, name), named, |named| hash(&named.account, &named.name));
    }

    pub(crate) fn get(&self, account: &str, name: &str) -> Option<&T> {
        let is_it = |named: &Named<T>| *named.account == *account && equals_folded(name, &named.name);
        self.table.find(hash(account, name), is_it).map(|named| &named.value)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ignore_case_and_accounts_keep_them_apart() {
        let mut names = Names::default();
        names.insert("111111111111", "Admin", 1);
        names.insert("222222222222", "admin", 2);
        names.insert("222222222222", "1admin", 3);
        assert_eq!(names.get("111111111111", "ADMIN"), Some(&1));
        assert_eq!(names.get("222222222222", "Admin"), Some(&2));
        assert_eq!(names.get("111111111111", "1admin"), None);
        assert_eq!(names.len(), 3);
        names.insert("222222222222", "ADMIN", 4);
        assert_eq!((names.get("222222222222", "admin"), names.len()), (Some(&4), 3));
    }
}
