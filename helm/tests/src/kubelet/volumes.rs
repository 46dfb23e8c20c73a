//! Volumes of a pod as folders of this machine, laid out as a kubelet lays them: the files of ConfigMaps and Secrets behind
//! the link `..data`, which one rename leads from one version to the next.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use serde_json::Value;

use super::Node;
use crate::manifest::{Look as _, Object};

/// A file of a volume.
#[derive(Debug)]
struct File {
    path: String,
    bytes: Vec<u8>,
    mode: u32,
}

/// Makes the folder of a volume, or finds it where it is not the pod's own.
pub(super) fn lay(node: &Node<'_>, pod: &Object, volume: &Value, place: PathBuf) -> anyhow::Result<PathBuf> {
    let group = pod.at("/spec/securityContext/fsGroup").as_u64().and_then(|group| u32::try_from(group).ok());
    if volume.at("/hostPath").is_object() {
        let place = node.host(volume.text("/hostPath/path"));
        ensure!(
            place.is_dir() || volume.text("/hostPath/type") != "Directory",
            "{} is not there",
            place.display()
        );
        return Ok(place);
    }
    if volume.at("/persistentVolumeClaim").is_object() {
        let place = node.claim(volume.text("/persistentVolumeClaim/claimName"));
        fs::create_dir_all(&place)?;
        own(&place, group, 0o2770)?;
        return Ok(place);
    }
    fs::create_dir_all(&place)?;
    if volume.at("/emptyDir").is_object() {
        own(&place, group, if group.is_some() { 0o2777 } else { 0o777 })?;
    } else if volume.at("/image").is_object() {
        // Nothing is pulled: the test puts there what the image would hold.
        own(&place, None, 0o755)?;
    } else {
        own(&place, group, 0o777)?;
        write_version(&place, &files(node, volume)?, group)?;
    }
    Ok(place)
}

/// Writes the volume of a ConfigMap, a Secret or several of them again, as it is stored now, and swaps it in.
pub(crate) fn publish(pod: &super::Pod<'_>, volume: &str) -> anyhow::Result<()> {
    let described = pod.stored.list("/spec/volumes").iter().find(|one| one.text("/name") == volume);
    let group = pod.stored.at("/spec/securityContext/fsGroup").as_u64();
    let files = files(pod.node, described.context("there is no such volume")?)?;
    write_version(pod.volume(volume)?, &files, group.and_then(|group| u32::try_from(group).ok()))
}

fn own(place: &Path, group: Option<u32>, mode: u32) -> anyhow::Result<()> {
    chown(place, Some(0), Some(group.unwrap_or(0)))?;
    Ok(fs::set_permissions(place, fs::Permissions::from_mode(mode))?)
}

fn write_version(place: &Path, files: &[File], group: Option<u32>) -> anyhow::Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let version = format!("..{now}");
    let folder = place.join(&version);
    fs::create_dir(&folder)?;
    own(&folder, group, 0o755)?;
    for file in files {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, &file.bytes)?;
        // Whoever has the group of the pod may read.
        own(&path, group, if group.is_some() { file.mode | 0o440 } else { file.mode })?;
    }
    let old = fs::read_link(place.join("..data")).ok();
    symlink(&version, place.join("..data_tmp"))?;
    fs::rename(place.join("..data_tmp"), place.join("..data"))?;
    for file in files {
        let first = file.path.split('/').next().unwrap_or_default();
        let visible = place.join(first);
        if fs::symlink_metadata(&visible).is_err() {
            symlink(Path::new("..data").join(first), &visible)?;
        }
    }
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        if entry.file_type()?.is_symlink() && !entry.path().exists() {
            fs::remove_file(entry.path())?;
        }
    }
    if let Some(old) = old {
        fs::remove_dir_all(place.join(old))?;
    }
    Ok(())
}

/// The files of a volume as its sources are stored now.
fn files(node: &Node<'_>, volume: &Value) -> anyhow::Result<Vec<File>> {
    if volume.at("/configMap").is_object() {
        let source = volume.at("/configMap");
        return of_source(node, "configmaps", source.text("/name"), source, source.at("/defaultMode"));
    }
    if volume.at("/secret").is_object() {
        let source = volume.at("/secret");
        return of_source(node, "secrets", source.text("/secretName"), source, source.at("/defaultMode"));
    }
    let mut all = Vec::new();
    for source in volume.list("/projected/sources") {
        let mode = volume.at("/projected/defaultMode");
        let found = if source.at("/configMap").is_object() {
            of_source(node, "configmaps", source.text("/configMap/name"), source.at("/configMap"), mode)?
        } else if source.at("/secret").is_object() {
            of_source(node, "secrets", source.text("/secret/name"), source.at("/secret"), mode)?
        } else {
            bail!("no kubelet here knows {source}");
        };
        all.extend(found);
    }
    ensure!(!all.is_empty(), "no kubelet here knows the volume {volume}");
    Ok(all)
}

fn of_source(
    node: &Node<'_>,
    plural: &str,
    name: &str,
    source: &Value,
    mode: &Value,
) -> anyhow::Result<Vec<File>> {
    let object = node.cluster.get(&format!("/api/v1/namespaces/{}/{plural}/{name}", node.namespace))?;
    let mode = mode.as_u64().and_then(|mode| u32::try_from(mode).ok()).context("no mode")?;
    let mut all = Vec::new();
    for (key, text) in object.texts("/data") {
        let bytes = match plural {
            "secrets" => base64::engine::general_purpose::STANDARD.decode(text)?,
            _ => text.as_bytes().to_vec(),
        };
        all.push(File { path: key.to_owned(), bytes, mode });
    }
    let items = source.list("/items");
    if items.is_empty() {
        return Ok(all);
    }
    let mut chosen = Vec::new();
    for item in items {
        let key = item.text("/key");
        let position = all.iter().position(|file| file.path == key);
        let mut file = all.swap_remove(position.with_context(|| format!("{name} has no key {key}"))?);
        file.path = item.text("/path").to_owned();
        chosen.push(file);
    }
    Ok(chosen)
}
