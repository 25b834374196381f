"""Metrics: PSNR and SSIM under named protocols, perceptual metrics, metrics of rain."""
