"""Why a clip scores as it does: where, when and in what way it is unusual."""
