"""Deploy, watch and take back: tags say what shall serve, the controller makes it so."""
