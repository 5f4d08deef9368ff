// Many runs of Kafka's tools in one process: java -cp ... Tools.java reads one run a line, its words in base64 separated by
// spaces: class, standard input, arguments. It answers a line each: exit status, a space, what was printed in base64.

import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import org.apache.kafka.common.utils.Exit;

public class Tools {
    private static class Ended extends Error {
        final int status;

        Ended(int status) {
            super(null, null, false, false);
            this.status = status;
        }
    }

    private static String decode(String word) {
        return new String(Base64.getDecoder().decode(word), StandardCharsets.UTF_8);
    }

    private static int run(String[] words) throws Exception {
        String[] arguments = Arrays.stream(words).skip(2).map(Tools::decode).toArray(String[]::new);
        try {
            Class.forName(decode(words[0])).getMethod("main", String[].class).invoke(null, (Object) arguments);
            return 0;
        } catch (InvocationTargetException failed) {
            for (Throwable cause = failed; cause != null; cause = cause.getCause()) {
                if (cause instanceof Ended ended) return ended.status;
            }
            System.err.println(failed.getCause());
            return 1;
        } catch (Ended ended) {
            return ended.status;
        }
    }

    public static void main(String[] unused) throws Exception {
        Exit.setExitProcedure((status, message) -> {
            throw new Ended(status);
        });
        Exit.setHaltProcedure((status, message) -> {
            throw new Ended(status);
        });
        PrintStream answers = System.out;
        InputStream questions = System.in;
        BufferedReader lines = new BufferedReader(new InputStreamReader(questions, StandardCharsets.US_ASCII));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ", -1);
            ByteArrayOutputStream said = new ByteArrayOutputStream();
            PrintStream into = new PrintStream(said, true, StandardCharsets.UTF_8);
            System.setOut(into);
            System.setErr(into);
            System.setIn(new ByteArrayInputStream(Base64.getDecoder().decode(words[1])));
            int status;
            try {
                // Scala remembers the stream it was loaded with.
                status = scala.Console.withOut(into, () -> scala.Console.withErr(into, () -> {
                    try {
                        return run(words);
                    } catch (Exception failed) {
                        throw new RuntimeException(failed);
                    }
                }));
            } finally {
                into.flush();
            }
            answers.println(status + " " + Base64.getEncoder().encodeToString(said.toByteArray()));
            answers.flush();
        }
    }
}
