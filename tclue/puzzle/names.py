"""The names that puzzles draw from: the board game's first, then more for larger cases.

A case within the board game's sizes uses only the board game's names, so that its prompts look like
the published ones.
"""


def _split(board_game: str, more: str) -> tuple[str, ...]:
    return tuple(f"{board_game}, {more}".split(", "))


SUSPECTS = _split(
    "Miss Scarlet, Mr. Green, Mrs. White, Mrs. Peacock, Colonel Mustard, Professor Plum, "
    "Madame Rose, Sgt. Gray, Monsieur Brunette, Miss Peach",
    "Lady Lavender, Captain Cobalt, Dr. Indigo, Reverend Russet, Baroness Coral, Judge Ivory, "
    "Inspector Umber, Countess Violet, Major Maroon, Dame Amber, Lord Slate, Senator Sage, "
    "Sister Sienna, Admiral Teal",
)
WEAPONS = _split(
    "Candlestick, Knife, Lead Pipe, Revolver, Rope, Wrench, Horseshoe, Poison",
    "Crowbar, Fire Poker, Bronze Bust, Croquet Mallet, Letter Opener, Garden Shears, "
    "Walking Stick, Hat Pin, Curtain Cord, Chess Trophy, Ice Pick, Oar",
)
ROOMS = _split(
    "Hall, Lounge, Dining Room, Kitchen, Ballroom, Conservatory, Billiard Room, Library, Study, "
    "Carriage House, Cloak Room, Courtyard, Drawing Room, Fountain, Gazebo, Studio, Trophy Room",
    "Armory, Attic, Bath House, Boathouse, Chapel, Cellar, Garage, Greenhouse, Laundry, "
    "Map Room, Music Room, Nursery, Observatory, Orchard, Pantry, Parlor, Potting Shed, Servery, "
    "Smoking Room, Stables, Sun Porch, Tower, Vault",
)
MOTIVES = _split(
    "Ambition, Anger, Betrayal, Fear, Greed, Hatred, Jealousy, Power, Pride, Revenge",
    "Blackmail, Boredom, Contempt, Debt, Despair, Disgrace, Envy, Grief, Inheritance, Loyalty, "
    "Obsession, Rivalry, Spite, Shame",
)

MINUTES_A_DAY = 24 * 60
STEPS_MINUTES = (15, 30, 60)


def clock(minutes: int) -> str:
    """Minutes after midnight (negative: before it) as "08:00 PM"."""
    hour, minute = divmod(minutes % MINUTES_A_DAY, 60)
    return f"{(hour + 11) % 12 + 1:02d}:{minute:02d} {'AM' if hour < 12 else 'PM'}"


def clock_times(count: int, step_minutes: int) -> tuple[str, ...]:
    """`count` times in equal steps, about half of them before midnight; none if `count` is 1."""
    if count == 1:
        return ()
    first = -((count + 1) // 2) * step_minutes
    return tuple(clock(first + i * step_minutes) for i in range(count))
