"""What lies between a rendered scene and its pixels: light, shadow, weather, camera, sensor."""
