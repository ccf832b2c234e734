"""Flow networks that users bring as ONNX files (docs/bring-your-own-flow.md)."""
