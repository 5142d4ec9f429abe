//! The folder of a member: made whole or not at all, recognised by what is written in it, never taken from another.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use redisnode_proto::{Address, Member, NodeName, Uid};

use super::dir::{ClusterFile, Dir, Index, MemberFile};
use super::random;
use crate::files::{FileError, read_json, sync_folder, write_json};

/// Makes sure that `name` has a folder, and says which incarnation of it runs there.
///
/// A folder that is missing or empty is made anew, with a new incarnation. One that belongs to another member or
/// cluster is left as it is: the incarnation that should be there is returned, and the agent, which compares the two,
/// refuses to start its server.
pub(super) fn prepare(
    dir: &Dir,
    cluster: &ClusterFile,
    index: &mut Index,
    name: &NodeName,
    address: &Address,
) -> Result<Member, String> {
    let node = dir.node(name);
    if is_missing(node.root())? {
        return make(dir, cluster, index, name, address);
    }
    let written = read_json::<MemberFile>(&node.member());
    let ours = written.ok().flatten().filter(|file| file.cluster == cluster.cluster && file.name == *name);
    let uid = match (index.get(name), &ours) {
        (Some(uid), _) => uid.clone(),
        (None, Some(file)) => file.uid.clone(),
        (None, None) => new_uid()?,
    };
    let member = Member { name: name.clone(), uid };
    if index.insert(name.clone(), member.uid.clone()).as_ref() != Some(&member.uid) {
        dir.write_index(index)?;
    }
    let should = cluster.member_file(&member, address);
    if let Some(file) = ours.filter(|file| file.uid == member.uid && *file != should) {
        tracing::info!(%name, from = file.port, to = should.port, "the member moves to other ports");
        write_json(&node.member(), &should)?;
    }
    Ok(member)
}

/// The folder appears with its name in it: a crash in the middle leaves none.
fn make(
    dir: &Dir,
    cluster: &ClusterFile,
    index: &mut Index,
    name: &NodeName,
    address: &Address,
) -> Result<Member, String> {
    let member = Member { name: name.clone(), uid: new_uid()? };
    index.insert(name.clone(), member.uid.clone());
    dir.write_index(index)?;
    let passing = dir.nodes().join(format!(".new-{name}"));
    remove_all(&passing)?;
    fs::create_dir_all(&passing).map_err(|source| FileError::io("make the folder", &passing, source))?;
    write_json(&passing.join("member.json"), &cluster.member_file(&member, address))?;
    let node = dir.node(name);
    fs::rename(&passing, node.root()).map_err(|source| FileError::io("make the folder", node.root(), source))?;
    sync_folder(&dir.nodes())?;
    Ok(member)
}

/// Removes a member's folder: out of sight at once, then in peace.
pub(super) fn remove(dir: &Dir, name: &NodeName) -> Result<(), FileError> {
    let (node, passing) = (dir.node(name), dir.nodes().join(format!(".gone-{name}")));
    remove_all(&passing)?;
    match fs::rename(node.root(), &passing) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(FileError::io("remove the folder", node.root(), error));
        }
        _ => {}
    }
    remove_all(&passing)
}

/// Removes what an interrupted making or removing left, and returns the names of all members' folders.
pub(super) fn names(dir: &Dir) -> Result<Vec<NodeName>, FileError> {
    let nodes = dir.nodes();
    let listed = match fs::read_dir(&nodes) {
        Ok(listed) => listed,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(FileError::io("read the folder", &nodes, source)),
    };
    let mut names = Vec::new();
    for entry in listed.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(".new-") || name.starts_with(".gone-") {
            remove_all(&entry.path())?;
        } else if let Ok(name) = name.parse() {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_missing(folder: &Path) -> Result<bool, FileError> {
    match fs::read_dir(folder).map(Iterator::count) {
        Ok(1..) => Ok(false),
        Ok(0) => {
            fs::remove_dir(folder).map_err(|source| FileError::io("replace the empty folder", folder, source))?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(source) => Err(FileError::io("read the folder", folder, source)),
    }
}

fn remove_all(folder: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(FileError::io("remove the folder", folder, error)),
        _ => Ok(()),
    }
}

fn new_uid() -> Result<Uid, String> {
    random::hex(8)?.parse().map_err(|error: redisnode_proto::ids::BadId| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    struct Place {
        _folder: Folder,
        dir: Dir,
        cluster: ClusterFile,
        index: Index,
    }

    impl Place {
        fn new(test: &str) -> Self {
            let folder = Folder::new(test);
            let dir = Dir::at(folder.path());
            let cluster = ClusterFile { cluster: "c1".parse().unwrap(), name: "my".to_owned(), port: 7000 };
            Self { _folder: folder, dir, cluster, index: Index::new() }
        }

        fn prepare(&mut self, ordinal: u32) -> Member {
            let name = NodeName::of("my", ordinal).unwrap();
            let address = self.cluster.address(ordinal).unwrap();
            prepare(&self.dir, &self.cluster, &mut self.index, &name, &address).unwrap()
        }

        fn folder(&self, ordinal: u32) -> std::path::PathBuf {
            self.dir.node(&NodeName::of("my", ordinal).unwrap()).root().to_owned()
        }
    }

    #[test]
    fn a_member_keeps_its_incarnation_as_long_as_its_folder() {
        let mut place = Place::new("folders-keep");
        let first = place.prepare(0);
        assert_eq!(place.prepare(0), first);
        place.index = place.dir.read_index().unwrap();
        assert_eq!(place.prepare(0), first, "by what is on disk");
        fs::remove_dir_all(place.folder(0)).unwrap();
        assert_ne!(place.prepare(0).uid, first.uid, "a lost folder is another incarnation");
    }

    #[test]
    fn exchanged_folders_are_left_alone_and_do_not_change_who_should_be_there() {
        let mut place = Place::new("folders-exchanged");
        let (zero, one) = (place.prepare(0), place.prepare(1));
        let aside = place.dir.nodes().join("aside");
        fs::rename(place.folder(0), &aside).unwrap();
        fs::rename(place.folder(1), place.folder(0)).unwrap();
        fs::rename(&aside, place.folder(1)).unwrap();
        assert_eq!((place.prepare(0), place.prepare(1)), (zero, one.clone()));
        let written: MemberFile = read_json(&place.folder(0).join("member.json")).unwrap().unwrap();
        assert_eq!(written.name, one.name, "nothing was overwritten");
    }

    #[test]
    fn a_folder_of_another_cluster_is_left_alone() {
        let mut place = Place::new("folders-foreign");
        let zero = place.prepare(0);
        let path = place.folder(0).join("member.json");
        let mut foreign: MemberFile = read_json(&path).unwrap().unwrap();
        foreign.cluster = "c2".parse().unwrap();
        write_json(&path, &foreign).unwrap();
        assert_eq!(place.prepare(0), zero);
        assert_eq!(read_json::<MemberFile>(&path).unwrap(), Some(foreign));
    }

    #[test]
    fn a_removed_member_leaves_nothing_and_an_interrupted_removal_is_finished() {
        let mut place = Place::new("folders-removed");
        place.prepare(0);
        remove(&place.dir, &"my-0".parse().unwrap()).unwrap();
        fs::create_dir(place.dir.nodes().join(".gone-my-1")).unwrap();
        assert!(names(&place.dir).unwrap().is_empty());
        assert_eq!(fs::read_dir(place.dir.nodes()).unwrap().count(), 0);
    }

    #[test]
    fn other_ports_are_written_into_a_folder_that_is_ours() {
        let mut place = Place::new("folders-ports");
        let zero = place.prepare(0);
        place.cluster.port = 7100;
        assert_eq!(place.prepare(0), zero);
        let file: MemberFile = read_json(&place.folder(0).join("member.json")).unwrap().unwrap();
        assert_eq!((file.port, file.bus_port), (7100, 17100));
    }
}
