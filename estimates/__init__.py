"""What a network would cost on a device, before anything is built, and how far such figures were off."""
