//! The routes of the public listener by name, for metrics and logs.

/// A route, or what stands for all unknown paths, of which there may be any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/wechat/jsSDK`
    Sign,
    /// `/p/active/weChatOa/upload`
    Upload,
    /// `/images/…`
    Image,
    /// `/healthz`
    Health,
    /// `/readyz`
    Readiness,
    /// `/docs` and `/openapi.json`
    Docs,
    /// `/` and `/sandbox/…`, under `serve --sandbox`
    Sandbox,
    /// Anything else.
    Other,
}

impl Route {
    /// Every route.
    pub const ALL: [Route; 8] = [
        Route::Sign,
        Route::Upload,
        Route::Image,
        Route::Health,
        Route::Readiness,
        Route::Docs,
        Route::Sandbox,
        Route::Other,
    ];

    /// The route of `path`.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path {
            "/wechat/jsSDK" => Self::Sign,
            "/p/active/weChatOa/upload" => Self::Upload,
            "/healthz" => Self::Health,
            "/readyz" => Self::Readiness,
            _ if path.starts_with("/images/") => Self::Image,
            _ if path.starts_with("/docs") || path == "/openapi.json" => Self::Docs,
            _ if path.starts_with("/sandbox/") => Self::Sandbox,
            _ => Self::Other,
        }
    }

    /// True where only monitoring asks, all day long.
    #[must_use]
    pub fn is_probe(self) -> bool {
        matches!(self, Self::Health | Self::Readiness)
    }

    /// The label in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Sign => "/wechat/jsSDK",
            Self::Upload => "/p/active/weChatOa/upload",
            Self::Image => "/images",
            Self::Health => "/healthz",
            Self::Readiness => "/readyz",
            Self::Docs => "/docs",
            Self::Sandbox => "/sandbox",
            Self::Other => "other",
        }
    }
}
