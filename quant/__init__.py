"""Number formats and quantisers. Importing this package needs no torch; the Brevitas modules inside it do."""
