//! Enums whose variants have a name in metrics, logs and the journal.

/// Defines an enum with a label for each variant, and `ALL` and `label` from these, so that no variant is forgotten.
macro_rules! labelled {
    ($(#[$about:meta])* $visibility:vis enum $name:ident {
        $($(#[$about_variant:meta])* $variant:ident = $label:literal,)+
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $visibility enum $name {
            $($(#[$about_variant])* $variant,)+
        }

        impl $name {
            #[allow(dead_code, reason = "not used for all of the enums")]
            $visibility const ALL: [$name; [$($name::$variant),+].len()] = [$($name::$variant),+];

            $visibility fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }
        }
    };
}

pub(crate) use labelled;
