"""From a trained model to a served ranking: signatures, export, scorer."""
