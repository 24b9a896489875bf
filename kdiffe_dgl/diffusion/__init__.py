"""Guided diffusion: schedule, denoiser, guidance, process and regeneration of edges."""
