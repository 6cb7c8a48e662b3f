//! A real nginx.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::until;

/// One nginx; killed, by its id, when the test ends.
pub struct NginxProcess(Child);

impl NginxProcess {
    /// Runs nginx in `folder` with these servers, one of which listens at `address`.
    pub async fn start(folder: &Path, servers: &str, address: SocketAddr) -> Self {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {};\n", folder.join(name).display()));
        let whole = format!(
            "daemon off;\nmaster_process off;\npid {}/pid;\nevents {{}}\nhttp {{\n{}{servers}\n}}\n",
            folder.display(),
            temporary.concat()
        );
        std::fs::write(folder.join("nginx.conf"), whole).unwrap();
        let binary = ["/usr/sbin/nginx", "nginx"]
            .into_iter()
            .find(|name| Path::new(name).exists());
        let child = Command::new(binary.unwrap_or("nginx"))
            .arg("-p")
            .arg(folder)
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let nginx = Self(child.expect("nginx can't be started: run scripts/test, which installs what the tests need"));
        until("nginx listens", || async {
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
        nginx
    }
}

impl Drop for NginxProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
