package org.neuronova.store;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Which databases the store takes: none that would lose what it has acknowledged. */
class DatabaseIT {

    @ParameterizedTest
    @ValueSource(strings = {"", ";WRITE_DELAY=500", ";WRITE_DELAY=0500", ";WRITE_DELAY=01", ";X=WRITE_DELAY=0"})
    void aFileThatIsWrittenLateIsRefused(String settings) {
        assertThrows(IllegalStateException.class, () -> Database.of("jdbc:h2:file:/data/fhir" + settings, false));
    }

    @ParameterizedTest
    @ValueSource(strings = {";WRITE_DELAY=0", ";WRITE_DELAY=0;MODE=LEGACY", ";MODE=LEGACY;WRITE_DELAY=0"})
    void aFileThatIsWrittenAtOnceIsTaken(String settings) {
        assertEquals(Database.H2, Database.of("jdbc:h2:file:/data/fhir" + settings, false));
    }

    @Test
    void productionTakesPostgreSqlOnly() {
        String file = "jdbc:h2:file:/data/fhir;WRITE_DELAY=0";
        assertThrows(IllegalStateException.class, () -> Database.of(file, true));
        assertThrows(IllegalStateException.class, () -> Database.of("jdbc:mysql://db/fhir", true));
        assertEquals(Database.POSTGRESQL, Database.of("jdbc:postgresql://db/fhir", true));
    }
}
