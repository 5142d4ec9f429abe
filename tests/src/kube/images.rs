//! Images for pods, made by `tests/k8s/images.sh` without an engine, and kept beside Kubernetes' programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::{Kubernetes, start};
use crate::cluster::binaries;
use crate::servers::Server;

/// An image in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name and tag, as a pod gives them.
    pub name: String,
    /// The archive, as `docker save` writes them.
    pub archive: PathBuf,
}

/// Two threads would make the same image twice.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

impl Kubernetes {
    /// A real server of a family, as `redisnode.test/valkey:9.1`: the server, its command line client and a shell.
    #[track_caller]
    pub fn server_image(&self, server: &Server) -> Image {
        let kind = server.kind();
        let tag = server.family.strip_prefix(kind).and_then(|tag| tag.strip_prefix('-')).unwrap_or(&server.family);
        self.server_image_as(server, tag)
    }

    /// The same under another tag: to Kubernetes it is another image.
    #[track_caller]
    pub fn server_image_as(&self, server: &Server, tag: &str) -> Image {
        self.server_image_called(server, &format!("redisnode.test/{}:{tag}", server.kind()))
    }

    /// The same under the name that a stock image has, say.
    #[track_caller]
    pub fn server_image_called(&self, server: &Server, name: &str) -> Image {
        let folder = server.folder.display().to_string();
        self.image(name, &server.server, &["server", name, server.kind(), &folder])
    }

    /// The agent's image, as `redisnode.test/redisnode:dev`: nothing but the program.
    #[track_caller]
    pub fn agent_image(&self) -> Image {
        self.program_image("redisnode", "redisnode.test/redisnode:dev")
    }

    /// The coordinator's image, as `redisnode.test/redis-coordinator:dev`: nothing but the program.
    #[track_caller]
    pub fn coordinator_image(&self) -> Image {
        self.program_image("redis-coordinator", "redisnode.test/redis-coordinator:dev")
    }

    /// The image of one of our programs under the name that the charts give it.
    #[track_caller]
    pub fn released_image(&self, program: &str) -> Image {
        self.program_image(program, &format!("redisnode/{program}:{}", env!("CARGO_PKG_VERSION")))
    }

    /// The image of one of our programs as an earlier commit built it into `folder`: of each build one of its own.
    #[track_caller]
    pub fn previous_image(&self, program: &str, folder: &Path) -> Image {
        let built = fs::metadata(folder.join(program)).and_then(|found| found.modified()).expect("it was built");
        let built = built.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.image_of(program, &format!("redisnode.test/{program}:previous-{built}"), folder)
    }

    #[track_caller]
    fn program_image(&self, program: &str, image: &str) -> Image {
        self.image_of(program, image, &binaries())
    }

    #[track_caller]
    fn image_of(&self, program: &str, image: &str, folder: &Path) -> Image {
        let file = folder.join(program);
        let path = file.display().to_string();
        self.image(image, &file, &["program", image, program, &path])
    }

    /// The archive of an image, made anew if the file that it is made of, or what makes it, is newer.
    #[track_caller]
    fn image(&self, name: &str, source: &Path, args: &[&str]) -> Image {
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let folder = self.programs.join("images");
        fs::create_dir_all(&folder).expect("the folder can be written");
        let archive = folder.join(format!("{}.tar", name.replace(['/', ':'], "_")));
        let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        let made = changed(&archive);
        let sources = [source.to_owned(), start::script("images.sh"), start::script("image.sh")];
        if made.is_none() || sources.iter().any(|path| changed(path) > made) {
            let fresh = folder.join(format!("{}.new", std::process::id()));
            let output = Command::new("bash").arg(start::script("images.sh")).arg(&fresh).args(args).output();
            let output = output.expect("bash is there");
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            fs::rename(&fresh, &archive).expect("the image can be put in its place");
        }
        Image { name: name.to_owned(), archive }
    }

    /// Gives every node an image, once.
    #[track_caller]
    pub fn load(&self, image: &Image) {
        let mut loaded = self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if loaded.contains(&image.archive) {
            return;
        }
        let mut command = Command::new("bash");
        command.arg(start::script("up.sh")).arg(self.folder()).arg("load").arg(&image.archive);
        let output = command.output().expect("bash is there");
        assert!(output.status.success(), "{}: {}", image.name, String::from_utf8_lossy(&output.stderr));
        loaded.push(image.archive.clone());
    }
}
