"""Sound devices, through PortAudio."""
